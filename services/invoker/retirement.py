"""Deletes functions in an order that never lets a call be accepted for code that may be deleted."""

from collections.abc import Awaitable, Callable

from nanogrid.jobs import Retirements
from services.invoker.functions import Functions, ReadFunction

DeleteFunction = Callable[[str], Awaitable[object]]


class Retirement:
    """Deletes functions for the current caller. Safe to use concurrently.

    `read` and `delete` call the registry, which checks the owner.
    """

    def __init__(self, read: ReadFunction, delete: DeleteFunction, jobs: Retirements, functions: Functions) -> None:
        self._read = read
        self._delete = delete
        self._jobs = jobs
        self._functions = functions

    async def retire(self, function_id: str) -> None:
        """Refuse new jobs of a function on every invoker, then delete it. Its code is deleted after its last job.

        NotFoundError when it is unknown or another owner's. After a failed step the whole may be repeated.
        """
        function = await self._read(function_id)
        await self._jobs.retire_function(function_id, function.created_at.ToMicroseconds())
        await self._delete(function_id)
        self._functions.forget(function_id)
