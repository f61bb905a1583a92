"""What became of submissions, told to the job store many at a time and behind the answer."""

import asyncio

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore
from nanogrid.logs import logger

log = logger()

_EVERY_S = 0.5  # far below the age at which a job counts as unsent


class SentJobs:
    """What is noted here and lost in a crash only makes a second message, which the claim sees to.

    What is doubted was refused because the job store did not answer, and may be recorded all the same. It is withdrawn
    before the sweeper would send it; if that is lost in a crash, a job runs whose caller was told to try again.
    """

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._job_ids: list[str] = []
        self._doubtful: list[str] = []

    def note(self, job_id: str) -> None:
        """A job's message is on the queue."""
        self._job_ids.append(job_id)

    def doubt(self, job_id: str) -> None:
        """A job was refused, but may be recorded."""
        self._doubtful.append(job_id)

    async def run(self) -> None:
        """Tell the job store for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Tell it now what was noted."""
        job_ids, self._job_ids = self._job_ids, []
        try:
            if job_ids:
                await self._jobs.sent(job_ids)
        except UnavailableError:
            log.warning("second messages may be sent", jobs=len(job_ids))
        try:
            while self._doubtful:
                await self._jobs.withdraw_job(self._doubtful[-1])
                self._doubtful.pop()
        except UnavailableError:
            log.warning("refused jobs are not withdrawn yet", jobs=len(self._doubtful))
