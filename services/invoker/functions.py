"""Function metadata, remembered for a while: functions never change, and a deleted one is refused by the job store."""

import time
from collections.abc import Awaitable, Callable

from cachetools import TTLCache

from nanogrid import caller
from nanogrid.errors import NotFoundError
from nanogrid.v1.resources_pb2 import Function

_MOST = 10_000  # functions remembered

ReadFunction = Callable[[str], Awaitable[Function]]


class Functions:
    """Reads functions for the current caller. One registry call per function and `ttl_s`, none on a warm path."""

    def __init__(self, read: ReadFunction, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._known: TTLCache[str, Function] = TTLCache(_MOST, ttl_s, clock)

    async def get(self, function_id: str) -> Function:
        """Return the function. NotFoundError when it is unknown or another owner's. Both read the same."""
        function = self._known.get(function_id)
        if function is None:
            function = self._known[function_id] = await self._read(function_id)
        if not caller.caller().may_see(function.owner):
            raise NotFoundError(f"function {function_id} is unknown", field="function_id")
        return function

    def forget(self, function_id: str) -> None:
        """Forget a function that is deleted."""
        self._known.pop(function_id, None)
