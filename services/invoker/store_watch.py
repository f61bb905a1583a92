"""Checks regularly that the job store's settings keep jobs, because they may change while the grid runs."""

from collections.abc import Awaitable, Callable

from nanogrid.errors import StartError, UnavailableError
from nanogrid.logs import logger
from nanogrid.outages import repeat

log = logger()

# Raises StartError where jobs would be lost on the store, UnavailableError while it is down.
CheckStore = Callable[[], Awaitable[None]]


class StoreWatch:
    """Refuses new jobs while the store would lose them. Calls `check` every `every_s` seconds."""

    def __init__(self, check: CheckStore, every_s: float) -> None:
        self._check = check
        self._every_s = every_s
        self._problem = ""

    async def run(self) -> None:
        """Call `look` for ever."""
        await repeat(self.look, self._every_s, "the job store's settings cannot be read")

    async def look(self) -> None:
        """Check once. UnavailableError while the store is down."""
        try:
            await self._check()
        except StartError as error:
            if str(error) != self._problem:
                log.error("no jobs are accepted", reason=str(error))  # noqa: TRY400 - its traceback says nothing
            self._problem = str(error)
        else:
            self._problem = ""

    def require_safe(self) -> None:
        """Raise UnavailableError while the store would lose jobs."""
        if self._problem:
            raise UnavailableError("the job store may lose jobs as it is set up (see the log); nothing was accepted")
