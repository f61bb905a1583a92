"""Which runtimes this executor offers: those its sandboxes can serve now."""

import asyncio

from nanogrid.logs import logger
from services.executor.sandbox import SandboxProvider, SandboxStartError

log = logger()

_EVERY_S = 10.0  # an image built meanwhile is offered after this long


class RuntimeOffer:
    """Looked up in the background, read without waiting."""

    def __init__(self, provider: SandboxProvider) -> None:
        self._provider = provider
        self.runtimes: frozenset[str] = frozenset()

    async def look(self) -> None:
        """Ask the provider once."""
        try:
            found = frozenset(await self._provider.runtimes())
        except SandboxStartError as error:
            log.warning("the runtimes cannot be looked up; offering the same as before", error=str(error))
            return
        if found != self.runtimes:
            log.info("runtimes offered", runtimes=sorted(found))
        self.runtimes = found

    async def keep_looking(self) -> None:
        """Ask for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()
