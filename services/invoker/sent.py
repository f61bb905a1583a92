"""Noting which jobs' messages are on the queue, many at a time and behind the answer."""

import asyncio

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore
from nanogrid.logs import logger

log = logger()

_EVERY_S = 0.5  # far below the age at which a job counts as unsent


class Sent:
    """What is lost here in a crash only makes a second message, which the claim sees to."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._job_ids: list[str] = []

    def note(self, job_id: str) -> None:
        """A job's message is on the queue."""
        self._job_ids.append(job_id)

    async def run(self) -> None:
        """Tell the job store for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Tell it now what was noted."""
        job_ids, self._job_ids = self._job_ids, []
        if not job_ids:
            return
        try:
            await self._jobs.sent(job_ids)
        except UnavailableError:
            log.warning("second messages may be sent", jobs=len(job_ids))
