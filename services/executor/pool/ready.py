"""Keeps generic sandboxes ready, so that the first call of a function waits for no container."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nanogrid.logs import logger
from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.pool.choices import ready_target
from services.executor.pool.slot import Slot
from services.executor.sandbox import SandboxProvider, SandboxStartError

log = logger()

_RECENT_S = 20.0  # sandboxes taken within this time count as demand
_PARALLEL = 4  # sandboxes started at a time: more would take the processors from the calls
_LOOK_S = 1.0  # between checks of demand while nothing is taken
_LET_GO_FIRST_S = 0.15  # the time of ten first calls
_FAULT_S = 5.0  # pause after a failed start


@dataclass(slots=True)
class _Shelf:
    """The ready sandboxes of one runtime."""

    slots: deque[Slot] = field(default_factory=deque)
    taken_at: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    making: int = 0


class Ready:
    """Keeps generic sandboxes per runtime, as many as were taken recently, between `least` and `most`.

    `offered` returns the runtimes that can be served now. For one event loop.
    """

    def __init__(
        self,
        provider: SandboxProvider,
        *,
        least: Mapping[str, int],
        most: int,
        offered: Callable[[], Iterable[str]],
    ) -> None:
        self._provider = provider
        self._least = least
        self._most = most
        self._offered = offered
        self._shelves: dict[str, _Shelf] = {}
        self.is_refilled = True  # False = make none ahead
        self._taken = asyncio.Event()
        self._making: set[asyncio.Task[None]] = set()

    def slots(self) -> list[Slot]:
        """Return the ready slots of all runtimes."""
        return [slot for shelf in self._shelves.values() for slot in shelf.slots]

    def take(self, runtime: Runtime) -> Slot | None:
        """Take a ready slot, or None. Either way demand is counted, and refilled in the background."""
        shelf = self._shelves.setdefault(runtime.name, _Shelf())
        shelf.taken_at.append(time.monotonic())
        self._taken.set()
        while shelf.slots:
            slot = shelf.slots.popleft()
            if slot.sandbox.alive:
                return slot
            self._spawn(slot.destroy())
        return None

    def remove(self, slot: Slot) -> bool:
        """Remove a ready slot for the caller to destroy. Return False when it is not here."""
        for shelf in self._shelves.values():
            if slot in shelf.slots:
                shelf.slots.remove(slot)
                return True
        return False

    async def keep_filled(self) -> None:
        """Refill for ever, after each take and every `_LOOK_S` seconds."""
        while True:
            for name in self._offered():
                self._fill(RUNTIMES[name])
            self._taken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._taken.wait()
                    # Starting a container would slow down the call that took this one: let that call run first.
                    await asyncio.sleep(_LET_GO_FIRST_S)

    def _fill(self, runtime: Runtime) -> None:
        if not self.is_refilled:
            return
        shelf = self._shelves.setdefault(runtime.name, _Shelf())
        since = time.monotonic() - _RECENT_S
        recent = sum(taken > since for taken in shelf.taken_at)
        target = ready_target(self._least.get(runtime.name, self._least.get("*", 0)), self._most, recent)
        while len(shelf.slots) + shelf.making < target and self._made_now() < _PARALLEL:
            shelf.making += 1
            self._spawn(self._make(runtime, shelf))

    def _made_now(self) -> int:
        return sum(shelf.making for shelf in self._shelves.values())

    async def _make(self, runtime: Runtime, shelf: _Shelf) -> None:
        try:
            shelf.slots.append(Slot(await self._provider.create(runtime)))
        except SandboxStartError as error:
            log.warning("no sandbox could be made ahead", runtime=runtime.name, error=str(error))
            await asyncio.sleep(_FAULT_S)
        finally:
            shelf.making -= 1
            self._taken.set()

    async def close(self) -> None:
        """Stop refilling and destroy all ready sandboxes."""
        for task in self._making:
            task.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)
        await asyncio.gather(*(slot.destroy() for slot in self.slots()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._making.add(task)
        task.add_done_callback(self._making.discard)
