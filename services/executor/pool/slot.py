"""A slot owns one sandbox's life as a closed state machine. Only the slot calls the sandbox."""

import asyncio
import time
from collections.abc import Callable
from enum import Enum

from nanogrid.logs import logger
from services.executor.sandbox import CallError, CallRequest, CallResult, Kind, OutputStream, Sandbox, Specialisation

log = logger()


class SlotState(Enum):
    """Where a sandbox is in its life."""

    GENERIC = "generic"  # waits for a function
    SPECIALISING = "specialising"  # is being made one function's
    IDLE = "idle"  # its function's, waits for a call
    FROZEN = "frozen"  # idle, and stopped by the cgroup's freezer
    BUSY = "busy"  # serves a call
    DEAD = "dead"  # only to be destroyed; final


_NEXT = {
    SlotState.GENERIC: {SlotState.SPECIALISING, SlotState.DEAD},
    SlotState.SPECIALISING: {SlotState.BUSY, SlotState.DEAD},
    SlotState.BUSY: {SlotState.IDLE, SlotState.DEAD},
    SlotState.IDLE: {SlotState.BUSY, SlotState.FROZEN, SlotState.DEAD},
    SlotState.FROZEN: {SlotState.BUSY, SlotState.DEAD},
    SlotState.DEAD: set[SlotState](),
}


class Slot:
    """One sandbox. The pool decides when, the slot does and keeps the states honest.

    Not to be shared between calls: its taker (BUSY) is alone with it until `rest` or `destroy`.
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
        """Return whether it could be taken or evicted."""
        return self.state in (SlotState.GENERIC, SlotState.IDLE, SlotState.FROZEN)

    @property
    def sandbox(self) -> Sandbox:
        """For reading its id, runtime and output folder."""
        return self._sandbox

    async def specialise(
        self, what: Specialisation, on_output: Callable[[OutputStream, bytes], None]
    ) -> CallError | None:
        """Make it one function's and take it: BUSY on success, DEAD with the user's error otherwise."""
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
        """IDLE or FROZEN to BUSY. The state changes before anything is awaited, so that no other caller takes it."""
        was = self.state
        self._become(SlotState.BUSY)
        if was is SlotState.FROZEN or self._lock.locked():
            async with self._lock:
                await self._sandbox.thaw()

    async def call(self, request: CallRequest) -> CallResult:
        """Serve one call. BUSY before and after, or DEAD when the call was cut off or broke the sandbox."""
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
        """Give a BUSY slot another memory limit."""
        if memory_mb != self.memory_mb:
            await self._sandbox.resize(memory_mb)
            self.memory_mb = memory_mb

    async def rest(self) -> None:
        """BUSY to IDLE, its output emptied."""
        await self._sandbox.clear_output()
        self.used_at = time.monotonic()
        self._become(SlotState.IDLE)

    async def freeze(self) -> None:
        """IDLE to FROZEN. Nothing when it was taken meanwhile."""
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
