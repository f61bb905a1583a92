"""Caches function metadata. Functions never change, and the job store refuses calls of deleted ones."""

import time
from collections.abc import Awaitable, Callable

from cachetools import TTLCache

from nanogrid import caller
from nanogrid.ids import unknown_function
from nanogrid.v1.resources_pb2 import Function

_MOST = 10_000  # functions in the cache

ReadFunction = Callable[[str], Awaitable[Function]]


class Functions:
    """Reads functions for the current caller, with one registry call per function and `ttl_s`."""

    def __init__(self, read: ReadFunction, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._known: TTLCache[str, Function] = TTLCache(_MOST, ttl_s, clock)

    async def get(self, function_id: str) -> Function:
        """Return the function. NotFoundError, with the same text, when it is unknown or another owner's."""
        function = self._known.get(function_id)
        if function is None:
            function = self._known[function_id] = await self._read(function_id)
        if not caller.caller().may_see(function.owner):
            raise unknown_function(function_id)
        return function

    def forget(self, function_id: str) -> None:
        """Drop a deleted function from the cache."""
        self._known.pop(function_id, None)
