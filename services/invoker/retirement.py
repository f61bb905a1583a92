"""Deletes functions: in an order that leaves no moment in which one could be called whose code may go."""

from collections.abc import Awaitable, Callable

from nanogrid.jobs import Retirements
from services.invoker.functions import Functions, ReadFunction

DeleteFunction = Callable[[str], Awaitable[object]]


class Retirement:
    """Deletes functions for the current caller. Safe to use concurrently.

    `read` and `delete` ask the registry, which knows whose a function is.
    """

    def __init__(self, read: ReadFunction, delete: DeleteFunction, jobs: Retirements, functions: Functions) -> None:
        self._read = read
        self._delete = delete
        self._jobs = jobs
        self._functions = functions

    async def retire(self, function_id: str) -> None:
        """Refuse jobs of a function from now on, on every invoker, then forget it; its code goes after its last job.

        NotFoundError when it is not there, or another owner's. Where a step failed, all may be done again.
        """
        function = await self._read(function_id)
        await self._jobs.retire_function(function_id, function.created_at.ToMicroseconds())
        await self._delete(function_id)
        self._functions.forget(function_id)
