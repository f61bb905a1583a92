"""Sitting out an outage of the archive.

One probe asks whether it is over, ever less often, and all callers wait for it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nanogrid.errors import NanoGridError
from nanogrid.logs import logger

log = logger()


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after the n-th failure in a row: twice as long each time, and never all at the same moment."""

    first_s: float = 1.0
    longest_s: float = 60.0

    def wait_s(self, failures: int) -> float:
        """Return seconds, random within the half below the bound. 0 without failures."""
        if not failures:
            return 0.0
        bound = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))  # enough for any bound, no overflow
        return random.uniform(bound / 2, bound)  # noqa: S311 - no secret


class Outage:
    """Whether the archive has failed lately. For one event loop."""

    def __init__(self, probe: Callable[[], Awaitable[object]], backoff: Backoff) -> None:
        """`probe` raises UnavailableError for as long as it goes on."""
        self._probe = probe
        self._backoff = backoff
        self._failures = 0
        self._asking = asyncio.Lock()

    def begin(self, error: NanoGridError) -> None:
        """Something failed: callers of `over` wait from now on until a probe has come through."""
        if not self._failures:
            self._failures = 1
            log.warning("the archive is down; results wait in the data store until it is up", error=error.message)

    async def over(self) -> None:
        """Return once it is over. At once where there is none."""
        while self._failures:
            async with self._asking:
                if self._failures:
                    await asyncio.sleep(self._backoff.wait_s(self._failures))
                    await self._ask()

    async def _ask(self) -> None:
        try:
            await self._probe()
        except NanoGridError as error:
            self._failures += 1
            if self._failures % 60 == 0:  # once an hour or so
                log.warning("the archive is still down", error=error.message, failures=self._failures)
        else:
            log.info("the archive is up again", failures=self._failures)
            self._failures = 0
