"""Drives one sandbox through its life as a closed state machine. Only the slot calls the sandbox."""

import asyncio
import time
from collections.abc import Callable
from enum import Enum

from nanogrid.logs import logger
from services.executor.sandbox import CallError, CallRequest, CallResult, Kind, OutputStream, Sandbox, Specialisation

log = logger()


class SlotState(Enum):
    """States of a sandbox."""

    GENERIC = "generic"  # waits for a function
    SPECIALISING = "specialising"  # loads its function
    IDLE = "idle"  # has loaded its function, waits for a call
    FROZEN = "frozen"  # idle, and stopped by the cgroup's freezer
    BUSY = "busy"  # serves a call
    DEAD = "dead"  # final, to be destroyed


_NEXT = {
    SlotState.GENERIC: {SlotState.SPECIALISING, SlotState.DEAD},
    SlotState.SPECIALISING: {SlotState.BUSY, SlotState.DEAD},
    SlotState.BUSY: {SlotState.IDLE, SlotState.DEAD},
    SlotState.IDLE: {SlotState.BUSY, SlotState.FROZEN, SlotState.DEAD},
    SlotState.FROZEN: {SlotState.BUSY, SlotState.DEAD},
    SlotState.DEAD: set[SlotState](),
}


class Slot:
    """One sandbox and its state. The pool decides when to change it.

    Not for concurrent calls: a BUSY slot belongs to one call until `rest` or `destroy`.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._lock = asyncio.Lock()  # freezing and taking never overlap
        self.state = SlotState.GENERIC
        self.kind = Kind.HANDLER
        self.function_id = ""
        self.memory_mb = 0
        self.calls = 0
        self.used_at = time.monotonic()

    @property
    def is_resting(self) -> bool:
        """Return whether it may be taken or evicted."""
        return self.state in (SlotState.GENERIC, SlotState.IDLE, SlotState.FROZEN)

    @property
    def sandbox(self) -> Sandbox:
        """Return the sandbox, to read its id, runtime and output folder."""
        return self._sandbox

    async def specialise(
        self, what: Specialisation, on_output: Callable[[OutputStream, bytes], None]
    ) -> CallError | None:
        """Load a function and take the slot: BUSY on success, DEAD with the user's error otherwise."""
        self._become(SlotState.SPECIALISING)
        self.function_id, self.memory_mb = what.function_id, what.memory_mb
        outcome = await self._sandbox.specialise(what, on_output)
        if isinstance(outcome, CallError):
            self._become(SlotState.DEAD)
            return outcome
        self.kind = outcome
        self._become(SlotState.BUSY)
        return None

    async def take(self) -> None:
        """Change IDLE or FROZEN to BUSY, before the first await, so that no other call takes the slot."""
        was = self.state
        self._become(SlotState.BUSY)
        if was is SlotState.FROZEN or self._lock.locked():
            async with self._lock:
                await self._sandbox.thaw()

    async def call(self, request: CallRequest) -> CallResult:
        """Run one call. The slot stays BUSY, or is DEAD when the call was cut off or broke the sandbox."""
        assert self.state is SlotState.BUSY, self.state
        try:
            result = await self._sandbox.call(request)
        except BaseException:
            self._become(SlotState.DEAD)  # the function may still be running in there
            raise
        self.calls += 1
        self.used_at = time.monotonic()
        if not result.reusable:
            self._become(SlotState.DEAD)
        return result

    async def resize(self, memory_mb: int) -> None:
        """Change the memory limit of a BUSY slot."""
        if memory_mb != self.memory_mb:
            await self._sandbox.resize(memory_mb)
            self.memory_mb = memory_mb

    async def rest(self) -> None:
        """Empty the output folder and change BUSY to IDLE."""
        await self._sandbox.clear_output()
        self.used_at = time.monotonic()
        self._become(SlotState.IDLE)

    async def freeze(self) -> None:
        """Change IDLE to FROZEN. Do nothing when it was taken meanwhile."""
        async with self._lock:
            if self.state is SlotState.IDLE:
                self._become(SlotState.FROZEN)
                await self._sandbox.freeze()

    async def destroy(self) -> None:
        """Remove the sandbox in any state. Idempotent."""
        if self.state is not SlotState.DEAD:
            self._become(SlotState.DEAD)
        await self._sandbox.destroy()

    def _become(self, state: SlotState) -> None:
        if state not in _NEXT[self.state]:
            raise AssertionError(f"a slot cannot go from {self.state} to {state}")
        self.state = state
