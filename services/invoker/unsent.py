"""Finishes interrupted work: sends missing messages, ends the jobs of retired functions and deletes their code."""

from nanogrid.artifacts import Artifacts
from nanogrid.jobs import JobStore
from nanogrid.logs import logger
from nanogrid.outages import repeat
from nanogrid.queue import TaskQueue
from services.invoker.retirement import Retirement

log = logger()

_BATCH = 100  # jobs sent again in one round
_RETIRED = 100_000  # jobs of deleted functions cancelled in one round


class Sweeper:
    """Sends the messages of jobs that were recorded but not queued, and ends the jobs and code of retired functions.

    Several may run at once: a second message for a job and a second deletion are harmless.
    """

    def __init__(
        self, jobs: JobStore, queue: TaskQueue, artifacts: Artifacts, retirement: Retirement, *, unsent_s: float
    ) -> None:
        self._jobs = jobs
        self._retirement = retirement
        self._queue = queue
        self._artifacts = artifacts
        self._unsent_s = unsent_s

    async def run(self, every_s: float) -> None:
        """Call `sweep` every `every_s` seconds for ever. An outage postpones a round."""
        await repeat(self.sweep, every_s, "sweep postponed")

    async def sweep(self) -> None:
        """Do one round, of up to `_BATCH` jobs."""
        for job_id, message in await self._jobs.unsent(self._unsent_s, _BATCH):
            await self._queue.send(message)
            await self._jobs.sent([job_id])
            log.info("sent the message of a job that had none", job_id=job_id)
        await self._retirement.cancel_jobs(_RETIRED)
        for function_id in await self._jobs.retired_and_done():
            await self._artifacts.delete_code(function_id)
            await self._jobs.forget_retired(function_id)
            log.info("deleted the code of a retired function", function_id=function_id)
