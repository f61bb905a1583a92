"""Chooses a sandbox for every call: the function's own if one rests, else a generic one, else a new one."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from nanogrid.logs import logger
from nanogrid.runtimes import Runtime
from nanogrid.v1.resources_pb2 import Function
from services.executor.decisions import may_grow, victim, warmest
from services.executor.sandbox import SandboxProvider
from services.executor.slot import Slot, SlotState

log = logger()

_HOUSEKEEPING_S = 1.0


class Pool:
    """At most `most` sandboxes at a time. Safe to use concurrently within one event loop.

    A function's sandbox serves nobody else. Resting ones are frozen after `freeze_after_s` and evicted after `idle_s`,
    or earlier when a newcomer needs their place.
    """

    def __init__(self, provider: SandboxProvider, *, most: int, idle_s: float, freeze_after_s: float) -> None:
        self._provider = provider
        self._most = most
        self._idle_s = idle_s
        self._freeze_after_s = freeze_after_s
        self._own: dict[str, list[Slot]] = {}  # function id -> its slots
        self._starting = 0
        self._freed = asyncio.Condition()
        self._background: set[asyncio.Task[None]] = set()

    def slots(self) -> list[Slot]:
        """Every live slot."""
        return [slot for slots in self._own.values() for slot in slots]

    async def take(self, function: Function, runtime: Runtime) -> Slot:
        """A slot for one call: BUSY and warm, or GENERIC and to be specialised by the caller.

        Waits while the function is at its `max_concurrency` or every place is taken. SandboxStartError when none
        could be made. Give it back in every case.
        """
        key = function.function_id or function.code_sha256
        while True:
            own = self._own.setdefault(key, [])
            if (slot := warmest(one for one in own if one.state is not SlotState.GENERIC)) is not None:
                await slot.take()
                return slot
            if may_grow(len(own), function.max_concurrency) and self._has_room(key):
                return await self._start(key, runtime)
            async with self._freed:
                await self._freed.wait()

    def _has_room(self, key: str) -> bool:
        live = self.slots()
        if len(live) + self._starting < self._most:
            return True
        oldest = victim([slot for slot in live if slot.state is not SlotState.GENERIC], sparing=key)
        if oldest is None:
            return False
        self._drop(oldest)
        return True

    async def _start(self, key: str, runtime: Runtime) -> Slot:
        self._starting += 1
        try:
            slot = Slot(await self._provider.create(runtime))
        except BaseException:
            self._later(self._tell())
            raise
        finally:
            self._starting -= 1
        self._own.setdefault(key, []).append(slot)
        return slot

    async def give_back(self, slot: Slot) -> None:
        """Done with a slot that `take` gave: a sound one rests, any other is destroyed in the background."""
        if slot.state is SlotState.BUSY:
            await slot.rest()
        else:
            self._drop(slot)
        await self._tell()

    def _drop(self, slot: Slot) -> None:
        for key, slots in list(self._own.items()):
            if slot in slots:
                slots.remove(slot)
                if not slots:
                    del self._own[key]
        self._later(slot.destroy())

    async def _tell(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    async def keep_house(self) -> None:
        """Freeze and evict what rests, for ever."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            now = time.monotonic()
            for slot in self.slots():
                if slot.is_resting and slot.state is not SlotState.GENERIC and now - slot.used_at > self._idle_s:
                    self._drop(slot)
                elif slot.state is SlotState.IDLE and now - slot.used_at > self._freeze_after_s:
                    await slot.freeze()

    async def close(self) -> None:
        """Destroy everything."""
        for slot in self.slots():
            self._drop(slot)
        await asyncio.gather(*self._background)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
