"""Chooses a sandbox for every call: the function's own if one is idle, else a ready generic one, else a new one."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from typing import Any

from nanogrid.logs import logger
from nanogrid.runtimes import Runtime
from services.executor.pool.choices import victim, victims, warmest
from services.executor.pool.ready import Ready
from services.executor.pool.slot import Slot, SlotState
from services.executor.sandbox import SandboxProvider, SandboxStartError

log = logger()

_HOUSEKEEPING_S = 1.0
_IDLE = (SlotState.IDLE, SlotState.FROZEN)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`most` sandboxes live at a time. A resting one is frozen after `freeze_after_s` and evicted after `idle_s`."""

    most: int
    idle_s: float
    freeze_after_s: float


class Pool:
    """Hands out sandboxes, each of which serves one function for its whole life. For one event loop.

    Resting sandboxes also go when a newcomer needs their place, or when the machine runs short of memory.
    """

    def __init__(self, provider: SandboxProvider, ready: Ready, limits: PoolLimits) -> None:
        self._provider = provider
        self.ready = ready
        self._limits = limits
        self._keeps_idle = True
        self._own: dict[str, list[Slot]] = {}  # runtime and identity -> their slots
        self._starting = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._background: set[asyncio.Task[None]] = set()

    def slots(self) -> list[Slot]:
        """Return every live slot, the generic ones too."""
        return self._serving() + self.ready.slots()

    async def take(self, identity: str, runtime: Runtime) -> Slot:
        """Return a slot for one call: BUSY and warm, or GENERIC and to be specialised by the caller.

        Calls of one identity share the sandboxes of a runtime. Waits while the pool is full. SandboxStartError when
        none can be started. `give_back` it in every case.
        """
        key = f"{runtime.name}/{identity}"
        while True:
            own = self._own.get(key, [])
            if (slot := warmest(one for one in own if one.state is not SlotState.GENERIC)) is not None:
                if await self._wake(slot):
                    return slot
                continue
            if self._has_room(own):
                return await self._newcomer(key, runtime)
            await self._until_freed()

    async def _wake(self, slot: Slot) -> bool:
        """Take a resting slot. Drop it and return False when its sandbox died at rest."""
        if slot.sandbox.alive:
            with contextlib.suppress(SandboxStartError):
                await slot.take()
                return True
        self._drop(slot)
        return False

    def _has_room(self, own: Collection[Slot]) -> bool:
        serving = self._serving()
        if len(serving) + self._starting < self._limits.most:
            return True
        oldest = victim([slot for slot in serving if slot.state is not SlotState.GENERIC], sparing=own)
        if oldest is None:
            return False
        self._drop(oldest)
        return True

    async def _newcomer(self, key: str, runtime: Runtime) -> Slot:
        slot = self.ready.take(runtime)
        if slot is None:
            self._starting += 1
            try:
                slot = Slot(await self._provider.create(runtime))
            except BaseException:
                self._tell()
                raise
            finally:
                self._starting -= 1
        self._own.setdefault(key, []).append(slot)
        return slot

    async def give_back(self, slot: Slot) -> None:
        """Return a slot from `take` to the pool. A reusable one rests, any other is destroyed in the background."""
        try:
            if slot.state is SlotState.BUSY and not self._is_surplus(slot):
                await slot.rest()
        except SandboxStartError as error:
            log.warning("a sandbox could not be made ready again", error=str(error))
        if slot.state is not SlotState.IDLE:
            self._drop(slot)
        self._tell()

    def keep_idle(self, keep: bool) -> None:
        """Choose whether idle sandboxes are kept beyond need.

        If not, none are made ahead, and a function keeps at most one that rests: without that one, a function that is
        called again and again would start a container for every call, which takes more memory than it frees.
        """
        self._keeps_idle = self.ready.is_refilled = keep

    def evict(self, count: int) -> int:
        """Destroy up to `count` idle sandboxes in the background, and return the number.

        The least recently used go first, generic ones too, those of functions with a call that runs last.
        """
        idle, busy = self.ready.slots(), set[Slot]()
        for own in self._own.values():
            resting = [slot for slot in own if slot.state in _IDLE]
            idle += resting
            if len(resting) < len(own):
                busy.update(resting)
        chosen = victims(idle, count, sparing=busy)
        for slot in chosen:
            self.ready.remove(slot)
            self._drop(slot)
        return len(chosen)

    def _is_surplus(self, slot: Slot) -> bool:
        if self._keeps_idle:
            return False
        own = next((slots for slots in self._own.values() if slot in slots), [])
        return any(other.state in _IDLE for other in own)

    async def keep_house(self) -> None:
        """Call `tidy` every `_HOUSEKEEPING_S` seconds for ever."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            await self.tidy(time.monotonic())

    async def tidy(self, now: float) -> None:
        """Freeze and evict resting sandboxes in one round. `now` is in monotonic seconds."""
        for slot in self._serving():
            rested_s = now - slot.used_at
            if slot.state not in _IDLE:
                continue
            if rested_s > self._limits.idle_s or not slot.sandbox.alive:
                self._drop(slot)
            elif slot.state is SlotState.IDLE and rested_s > self._limits.freeze_after_s:
                await slot.freeze()

    async def close(self) -> None:
        """Destroy all sandboxes."""
        for slot in self._serving():
            self._drop(slot)
        await asyncio.gather(self.ready.close(), *self._background)

    def _serving(self) -> list[Slot]:
        return [slot for slots in self._own.values() for slot in slots]

    def _drop(self, slot: Slot) -> None:
        for key, slots in list(self._own.items()):
            if slot in slots:
                slots.remove(slot)
                if not slots:
                    del self._own[key]
        self._later(slot.destroy())

    async def _until_freed(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _tell(self) -> None:
        """Wake all waiting callers."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
