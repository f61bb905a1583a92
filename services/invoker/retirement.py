"""Deletes functions in an order that never lets a call be accepted for code that may be deleted."""

import asyncio
from collections.abc import Awaitable, Callable

from nanogrid.jobs import JobStore
from nanogrid.logs import logger
from services.invoker.functions import Functions, ReadFunction

log = logger()

_BATCH = 100  # jobs cancelled together
_MOST = 1_000  # jobs cancelled before a deletion is answered. The sweeper cancels the rest
_REASON = "its function was deleted"

DeleteFunction = Callable[[str], Awaitable[object]]


class Retirement:
    """Deletes functions for the current caller. Safe to use concurrently.

    `read` and `delete` call the registry, which checks the owner.
    """

    def __init__(self, read: ReadFunction, delete: DeleteFunction, jobs: JobStore, functions: Functions) -> None:
        self._read = read
        self._delete = delete
        self._jobs = jobs
        self._functions = functions

    async def retire(self, function_id: str) -> None:
        """Refuse new jobs of a function on every invoker, cancel its unfinished ones, then delete it.

        Executors end running jobs within moments. The code is deleted after the last job. NotFoundError when the
        function is unknown or another owner's. After a failed step the whole may be repeated.
        """
        function = await self._read(function_id)
        await self._jobs.retire_function(function_id, function.created_at.ToMicroseconds())
        await self.cancel_jobs(_MOST)
        await self._delete(function_id)
        self._functions.forget(function_id)

    async def cancel_jobs(self, most: int) -> None:
        """Cancel up to `most` of the jobs that were unfinished when their functions were retired."""
        for _ in range(0, most, _BATCH):
            job_ids = await self._jobs.retired_jobs(_BATCH)
            if not job_ids:
                return
            await asyncio.gather(*(self._jobs.cancel(job_id, _REASON) for job_id in job_ids))
            await self._jobs.forget_retired_jobs(job_ids)
            log.info("cancelled jobs of deleted functions", count=len(job_ids))
