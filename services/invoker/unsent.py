"""Finishes the work that crashes and deletions left half done."""

from typing import TYPE_CHECKING

from nanogrid.artifacts import Artifacts
from nanogrid.jobs import JobStore
from nanogrid.logs import logger
from nanogrid.outages import repeat
from nanogrid.queue import TaskQueue

if TYPE_CHECKING:
    pass

log = logger()

_BATCH = 100  # jobs sent again in one round


class Sweeper:
    """Sends the messages of jobs that were recorded but not queued, and deletes the code of retired functions.

    Several may run at once: a second message of one job is harmless, so is deleting twice.
    """

    def __init__(self, jobs: JobStore, queue: TaskQueue, artifacts: Artifacts, *, unsent_s: float) -> None:
        self._jobs = jobs
        self._queue = queue
        self._artifacts = artifacts
        self._unsent_s = unsent_s

    async def run(self, every_s: float) -> None:
        """Sweep for ever. An outage only postpones."""
        await repeat(self.sweep, every_s, "sweep postponed")

    async def sweep(self) -> None:
        """Do one round."""
        for job_id, message in await self._jobs.unsent(self._unsent_s, _BATCH):
            await self._queue.send(message)
            await self._jobs.sent([job_id])
            log.info("sent the message of a job that had none", job_id=job_id)
        for function_id in await self._jobs.retired_and_done():
            await self._artifacts.delete_code(function_id)
            await self._jobs.forget_retired(function_id)
            log.info("deleted the code of a retired function", function_id=function_id)
