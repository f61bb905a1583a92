"""Records after the answer, in batches, that messages were sent, and withdraws refused jobs."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress

from nanogrid.batching import Batcher
from nanogrid.errors import UnavailableError
from nanogrid.jobs import Submissions
from nanogrid.logs import logger
from nanogrid.outages import repeat

log = logger()

_BATCH = 1_000  # notes in one command
_EVERY_S = 0.5  # far below the age at which a job counts as unsent


class SentJobs:
    """Records sent jobs in batches, and withdraws jobs that were refused but may be recorded. For one event loop.

    A record that is lost in a crash causes a second message, which the claim drops. A refused job is withdrawn before
    the sweeper sends its message. If that is lost in a crash, a job runs although its caller was told to try again.
    """

    def __init__(self, jobs: Submissions) -> None:
        self._jobs = jobs
        self._notes: Batcher[str, None] = Batcher(self._tell, max_items=_BATCH, linger_s=_EVERY_S)
        self._doubtful: list[tuple[str, str]] = []  # ids and their messages' SHA-1

    def note(self, job_id: str) -> None:
        """Record soon that a job's message is on the queue."""
        self._notes.add(job_id)

    def doubt(self, job_id: str, message: bytes) -> None:
        """Withdraw soon a job that was refused but may be recorded."""
        self._doubtful.append((job_id, hashlib.sha1(message, usedforsecurity=False).hexdigest()))

    async def run(self) -> None:
        """Withdraw refused jobs every `_EVERY_S` seconds for ever."""
        await repeat(self._withdraw, _EVERY_S, "refused jobs are not withdrawn yet")

    async def flush(self) -> None:
        """Write everything pending to the job store now."""
        await self._notes.flush()
        with suppress(UnavailableError):
            await self._withdraw()

    async def _tell(self, job_ids: Sequence[str]) -> Sequence[None]:
        try:
            await self._jobs.sent(job_ids)
        except UnavailableError:
            log.warning("second messages may be sent", jobs=len(job_ids))
        return [None] * len(job_ids)

    async def _withdraw(self) -> None:
        while self._doubtful:
            await self._jobs.withdraw_job(*self._doubtful[-1])
            self._doubtful.pop()
