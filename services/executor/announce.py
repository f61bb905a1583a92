"""Announces this executor's runtimes, address and free places to the grid."""

from collections.abc import Callable

from nanogrid.errors import RuntimeNotSupportedError, UnavailableError
from nanogrid.jobs import ExecutorDirectory
from nanogrid.logs import logger
from nanogrid.outages import repeat
from nanogrid.runtimes import Runtime, resolve
from nanogrid.v1.resources_pb2 import ExecutorInfo
from services.executor.sandbox import SandboxProvider, SandboxStartError

log = logger()

_ANNOUNCE_S = 4.0  # three announcements fit into the time after which an executor counts as gone
_LOOK_S = 10.0  # a new image is offered after this long


class RuntimeOffer:
    """The runtimes that sandboxes can serve now, refreshed in the background and read without waiting.

    With `stand_ins`, a version that no live executor offers is served by another version of its language.
    """

    def __init__(self, provider: SandboxProvider, executors: ExecutorDirectory, *, stand_ins: bool) -> None:
        self._provider = provider
        self._executors = executors
        self._stand_ins = stand_ins
        self.runtimes: frozenset[str] = frozenset()
        self.problem = ""  # for operators: why the offer may be out of date

    async def resolve(self, name: str) -> Runtime:
        """Return the runtime that serves a job of `name` here.

        RuntimeNotSupportedError when there is none, UnavailableError when the offers of other executors are unknown.
        """
        try:
            return resolve(name, self.runtimes)
        except RuntimeNotSupportedError:
            if not self._stand_ins or any(name in one.runtimes for one in await self._executors.executors()):
                raise
        return resolve(name, self.runtimes, stand_ins=True)

    async def look(self) -> None:
        """Ask the provider once. While it fails, the offer stays as it is."""
        try:
            found = frozenset(await self._provider.runtimes())
        except SandboxStartError as error:
            log.warning("the runtimes cannot be looked up; offering the same as before", error=str(error))
            self.problem = f"{'Docker' if self._provider.isolates else 'the sandbox provider'} does not answer"
            return
        self.problem = ""
        if found != self.runtimes:
            log.info("runtimes offered", runtimes=sorted(found))
        self.runtimes = found

    async def keep_looking(self) -> None:
        """Call `look` every `_LOOK_S` seconds for ever."""
        await repeat(self.look, _LOOK_S, "the runtimes cannot be looked up")


async def announce(executors: ExecutorDirectory, describe: Callable[[], ExecutorInfo]) -> None:
    """Announce every `_ANNOUNCE_S` seconds for ever. An outage postpones a round."""
    await repeat(lambda: executors.announce(describe()), _ANNOUNCE_S, "not announced")


async def withdraw(executors: ExecutorDirectory, executor_id: str) -> None:
    """Withdraw the announcement, which would otherwise expire by itself."""
    try:
        await executors.withdraw(executor_id)
    except UnavailableError as error:
        log.warning("not withdrawn", error=error.message)
