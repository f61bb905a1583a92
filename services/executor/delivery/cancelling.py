"""Cancels running jobs, when their function is deleted or the user stops the grid."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nanogrid.errors import UnavailableError
from nanogrid.jobs import Cancellations
from nanogrid.logs import logger

log = logger()

_LOOK_S = 1.0  # between calls to the job store, one for all running jobs


class JobCancelledError(Exception):
    """The job was cancelled. The message is a sentence for its owner."""


@dataclass(slots=True)
class _Running:
    task: "asyncio.Task[object]"
    reason: str = ""


class RunningJobs:
    """The running jobs that may be cancelled. For one event loop."""

    def __init__(self, jobs: Cancellations) -> None:
        self._jobs = jobs
        self._running: dict[str, _Running] = {}

    @contextmanager
    def cancellable(self, job_id: str) -> Iterator[None]:
        """Allow the current task's job to be cancelled inside the block, which JobCancelledError then ends."""
        task = asyncio.current_task()
        assert task is not None
        running = self._running[job_id] = _Running(task)
        try:
            yield
        except asyncio.CancelledError:
            if not running.reason:
                raise
            task.uncancel()
            raise JobCancelledError(running.reason) from None
        finally:
            del self._running[job_id]

    def cancel(self, job_id: str, reason: str) -> None:
        """Cancel a running job. Do nothing when it does not run here, or is being cancelled already."""
        running = self._running.get(job_id)
        if running is not None and not running.reason:
            log.info("cancelling a job", job_id=job_id, reason=reason)
            running.reason = reason
            running.task.cancel()

    def cancel_all(self, reason: str) -> None:
        """Cancel every job that runs here."""
        for job_id in list(self._running):
            self.cancel(job_id, reason)

    async def watch(self) -> None:
        """Cancel jobs as the job store says, for ever. An outage postpones a round."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self._running:
                continue
            try:
                found = await self._jobs.cancelled(list(self._running))
            except UnavailableError as error:
                log.warning("not known which jobs are cancelled", error=error.message)
                continue
            for job_id, reason in found.items():
                self.cancel(job_id, reason)
