"""Sandboxes under any order of calls, ends, freezing, eviction and deaths: one function each, no broken one again."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from nanogrid.runtimes import RUNTIMES
from services.executor.pool.pool import Pool, PoolLimits
from services.executor.pool.ready import Ready
from services.executor.pool.slot import Slot, SlotState
from services.executor.sandbox import CallError, CallRequest, CallResult, Specialisation
from support.fake_sandboxes import OK, FakeProvider
from support.waiting import watched

PYTHON = RUNTIMES["python3.11"]
MOST = 4
READY = 2
FUNCTIONS = st.sampled_from(["f", "g", "h"])
BROKEN = CallResult(None, CallError("Timeout", "over"), None, 0, 1.0, reusable=False)


class Sandboxes(RuleBasedStateMachine):
    """One pool; at most as many calls at a time as there are places, so that no step has to wait."""

    running = Bundle("running")

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.provider = FakeProvider(Path(self.folder.name))
        ready = Ready(self.provider, least={"*": READY}, most=READY, offered=lambda: [PYTHON.name])
        self.pool = Pool(self.provider, ready, PoolLimits(most=MOST, idle_s=60, freeze_after_s=5))
        self.served: dict[str, str] = {}  # sandbox id -> the only function it ever served
        self.taken: set[str] = set()  # sandbox ids that serve a call now
        self.over: set[str] = set()  # sandbox ids that must never serve again
        self.kept = True

    def teardown(self) -> None:
        self.do(self.pool.close())
        assert len(set(self.provider.destroyed)) == self.provider.made, "every sandbox goes in the end"
        self.runner.close()
        self.folder.cleanup()

    @rule(target=running, name=FUNCTIONS)
    def call(self, name: str) -> Slot | None:
        if len(self.taken) == MOST:
            return None
        slot = self.do(self._take(name))
        mine = slot.sandbox.sandbox_id
        assert mine not in self.taken, "a sandbox serves one call at a time"
        assert mine not in self.over, "a broken sandbox is never used again"
        assert self.served.setdefault(mine, name) == name, "a sandbox serves one function for life"
        self.taken.add(mine)
        return slot

    @rule(slot=consumes(running), breaks=st.booleans())
    def end(self, slot: Slot | None, breaks: bool) -> None:
        if slot is None:
            return
        self.provider.result = BROKEN if breaks else OK
        self.do(slot.call(CallRequest("job", b"{}", None, lambda *_: None)))
        self.do(self.pool.give_back(slot))
        self.taken.discard(slot.sandbox.sandbox_id)
        if breaks:
            self.over.add(slot.sandbox.sandbox_id)

    @rule(later_s=st.sampled_from([0.0, 10.0, 100.0]))
    def tidy(self, later_s: float) -> None:
        self.do(self._tidy(later_s))

    @rule(count=st.integers(1, 3))
    def evict(self, count: int) -> None:
        before = len(self.pool.slots())
        self.do(self._settled(lambda: self.pool.evict(count)))
        assert before - len(self.pool.slots()) == min(count, before - len(self.taken)), "all but those taken may go"

    @rule(keep=st.booleans())
    def keep_idle(self, keep: bool) -> None:
        self.pool.keep_idle(keep)
        self.kept = keep

    @rule()
    def make_ahead(self) -> None:
        before = len(self.pool.ready.slots())
        self.do(self._made_ahead())
        assert len(self.pool.ready.slots()) == (READY if self.kept else before)

    @rule(name=FUNCTIONS)
    def dies_while_it_rests(self, name: str) -> None:
        for slot in self.pool.slots():
            if slot.is_resting and slot.function_id == name:
                slot.sandbox.alive = False
                self.over.add(slot.sandbox.sandbox_id)

    @invariant()
    def no_more_live_than_there_are_places(self) -> None:
        assert len(self.pool.slots()) - len(self.pool.ready.slots()) <= MOST

    @invariant()
    def what_serves_a_call_is_neither_frozen_nor_destroyed(self) -> None:
        for slot in self.pool.slots():
            if slot.sandbox.sandbox_id in self.taken:
                assert slot.state is SlotState.BUSY
                assert slot.sandbox.sandbox_id not in self.provider.destroyed

    async def _take(self, name: str) -> Slot:
        slot = await self.pool.take(name, PYTHON)
        if slot.state is SlotState.GENERIC:
            assert await slot.specialise(Specialisation(name, Path(), "main.handler", 128), lambda *_: None) is None
        return slot

    async def _made_ahead(self) -> None:
        filling = asyncio.create_task(self.pool.ready.keep_filled())
        wanted = READY if self.kept else 0
        for _ in range(10):  # what it would start is there by then
            await asyncio.sleep(0)
        while len(self.pool.ready.slots()) < wanted:
            await asyncio.sleep(0)
        filling.cancel()

    async def _tidy(self, later_s: float) -> None:
        await self.pool.tidy(asyncio.get_running_loop().time() + later_s)

    async def _settled(self, step: Any) -> None:
        step()

    def do(self, step: Any) -> Any:
        return self.runner.run(watched(step))


def test_no_order_of_events_shares_a_sandbox_or_uses_a_broken_one_again() -> None:
    machine = Sandboxes.TestCase
    machine.settings = settings(max_examples=150, stateful_step_count=40, suppress_health_check=list(HealthCheck))
    machine("runTest").debug()
