"""Function metadata, remembered for a while: functions never change, and a deleted one is refused by the job store."""

import time
from collections.abc import Awaitable, Callable

from nanogrid import caller
from nanogrid.errors import NotFoundError
from nanogrid.v1.resources_pb2 import Function

_MOST = 10_000  # functions remembered; beyond it the memory starts anew

ReadFunction = Callable[[str], Awaitable[Function]]


class Functions:
    """Reads functions for the current caller. One registry call per function and `ttl_s`, none on a warm path."""

    def __init__(self, read: ReadFunction, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: dict[str, tuple[float, Function]] = {}

    async def get(self, function_id: str) -> Function:
        """The function. NotFoundError when it is unknown or another owner's; both read the same."""
        found = self._known.get(function_id)
        if found is None or found[0] < self._clock():
            function = await self._read(function_id)
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[function_id] = (self._clock() + self._ttl_s, function)
        if not caller.caller().may_see(found[1].owner):
            raise NotFoundError(f"function {function_id} is unknown", field="function_id")
        return found[1]

    def forget(self, function_id: str) -> None:
        """It is deleted."""
        self._known.pop(function_id, None)
