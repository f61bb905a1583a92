"""The rule of eviction under memory pressure, on readings instead of memory, and what it makes of a pool."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.runtimes import RUNTIMES
from services.executor.memory import MemoryReading
from services.executor.pool.pool import Pool, PoolLimits
from services.executor.pool.pressure import Pressure, PressureLimits, PressureWatch
from services.executor.pool.ready import Ready
from services.executor.pool.slot import Slot, SlotState
from services.executor.sandbox import Specialisation
from services.executor.settings import ExecutorSettings
from support.fake_sandboxes import FakeProvider

PYTHON = RUNTIMES["python3.11"]
LIMITS = PressureLimits(floor_percent=5, stall_percent=10)

percents = st.floats(0, 100)
readings = st.builds(MemoryReading, st.just("machine"), percents, st.none() | percents)
limits = st.builds(PressureLimits, st.floats(0, 99), st.floats(0.1, 100))


def machine(available: float, stalled: float | None = None) -> MemoryReading:
    return MemoryReading("machine", available, stalled)


def judged(*available: float, rule: Pressure | None = None) -> list[int]:
    """Return what is evicted at readings one second apart."""
    rule = rule or Pressure(LIMITS)
    return [rule.judge([machine(percent)], float(second)) for second, percent in enumerate(available)]


def test_eviction_begins_with_one_and_doubles_until_enough_is_available() -> None:
    assert judged(50, 4.9, 4, 4, 5.5, 6, 6.3, 50) == [0, 1, 2, 4, 8, 16, 0, 0]


def test_eviction_begins_anew_with_one() -> None:
    assert judged(4, 4, 4, 7, 4, 4) == [1, 2, 4, 0, 1, 2]


def test_eviction_is_bounded_however_long_pressure_lasts() -> None:
    assert judged(*[1.0] * 2000)[-1] == 64


def test_memory_between_the_two_thresholds_begins_nothing_and_ends_nothing() -> None:
    assert judged(5.1, 6, 5.1) == [0, 0, 0]
    assert judged(4, 6, 6) == [1, 2, 4]


def test_idle_sandboxes_are_kept_again_five_seconds_after_the_last_shortage() -> None:
    rule = Pressure(LIMITS)
    states = []

    for second, percent in enumerate([4, 50, 50, 50, 50, 5.5, 50, 50, 50, 50, 50, 50, 5.5]):
        rule.judge([machine(percent)], float(second))
        states.append(rule.is_on)

    assert states == [True] * 11 + [False, False]


def test_stalls_are_pressure_where_little_memory_is_available_and_nowhere_else() -> None:
    assert LIMITS.is_exceeded(machine(19, stalled=10))
    assert not LIMITS.is_exceeded(machine(19, stalled=9))
    assert not LIMITS.is_exceeded(machine(20, stalled=100))
    assert not LIMITS.is_exceeded(machine(19))


def test_stalls_have_ended_at_half_of_what_began_them() -> None:
    assert not LIMITS.is_cleared(machine(19, stalled=5))
    assert LIMITS.is_cleared(machine(19, stalled=4.9))
    assert LIMITS.is_cleared(machine(20, stalled=100))


def test_the_shortest_scope_decides() -> None:
    cgroup = MemoryReading("cgroup /a", 3.0)
    rule = Pressure(LIMITS)

    assert rule.judge([machine(4), cgroup], 0.0) == 1
    assert rule.worst([machine(4), cgroup]) == cgroup
    assert rule.judge([machine(90), cgroup], 1.0) == 2
    assert rule.judge([machine(90), MemoryReading("cgroup /a", 30.0)], 2.0) == 0


def test_a_floor_of_none_evicts_never() -> None:
    rule = Pressure(PressureLimits(0, 10))

    assert [rule.judge([machine(0, stalled=100)], float(second)) for second in range(3)] == [0, 0, 0]
    assert not rule.is_on


@given(limits, readings)
def test_no_reading_is_exceeded_and_cleared_at_once(limits: PressureLimits, reading: MemoryReading) -> None:
    assert not (limits.is_exceeded(reading) and limits.is_cleared(reading))


@given(limits, readings)
def test_more_memory_and_fewer_stalls_are_never_worse(limits: PressureLimits, reading: MemoryReading) -> None:
    better = MemoryReading("machine", (reading.available_percent + 100) / 2, None)

    assert limits.is_exceeded(reading) or not limits.is_exceeded(better)
    assert not limits.is_cleared(reading) or limits.is_cleared(better)
    assert limits.is_cleared(machine(100.0)), "every floor can be cleared"


@given(limits, st.lists(st.lists(readings, max_size=3), max_size=40))
def test_whatever_is_read_eviction_happens_under_pressure_only(
    limits: PressureLimits, looks: list[list[MemoryReading]]
) -> None:
    rule = Pressure(limits)
    exceeded_at, cleared = None, 0.0

    for second, found in enumerate(looks):
        count = rule.judge(found, float(second))

        if any(limits.is_exceeded(reading) for reading in found):
            exceeded_at = float(second)
            assert count > 0
        if all(limits.is_cleared(reading) for reading in found):
            cleared += 1
            assert count == 0
        else:
            cleared = 0
        assert 0 <= count <= 64
        assert count == 0 or rule.is_on
        assert rule.is_on == (exceeded_at is not None and cleared <= 5)
        if not rule.is_on:
            exceeded_at = None


@dataclass
class Readings:
    """Stands for memory."""

    now: list[MemoryReading] = field(default_factory=lambda: [machine(50)])
    fails: bool = False

    def read(self) -> list[MemoryReading]:
        if self.fails:
            raise PermissionError("/proc is not for you")
        return self.now


@pytest.fixture
def provider(tmp_path: Path) -> FakeProvider:
    return FakeProvider(tmp_path)


@pytest.fixture
async def pool(provider: FakeProvider) -> AsyncIterator[Pool]:
    ready = Ready(provider, least={}, most=0, offered=tuple)
    made = Pool(provider, ready, PoolLimits(most=8, idle_s=600, freeze_after_s=60))
    yield made
    await made.close()


async def busy(pool: Pool, function_id: str) -> Slot:
    slot = await pool.take(function_id, PYTHON)
    if slot.state is SlotState.GENERIC:
        assert await slot.specialise(Specialisation(function_id, Path(), "main.handler", 128), lambda *_: None) is None
    return slot


async def idle(pool: Pool, function_id: str) -> Slot:
    slot = await busy(pool, function_id)
    await pool.give_back(slot)
    return slot


async def test_a_watch_evicts_until_pressure_is_over_and_counts(pool: Pool) -> None:
    slots = [await idle(pool, name) for name in "abcd"]
    memory = Readings()
    watch = PressureWatch(memory, LIMITS, pool)

    watch.look(0.0)
    assert (watch.is_on, watch.evicted, len(pool.slots())) == (False, 0, 4)
    memory.now = [machine(3)]
    watch.look(1.0)
    assert (watch.is_on, watch.evicted, pool.slots()) == (True, 1, slots[1:])
    watch.look(2.0)
    assert (watch.evicted, pool.slots()) == (3, slots[3:])
    memory.now = [machine(50)]
    watch.look(3.0)

    assert (watch.is_on, watch.evicted, pool.slots()) == (True, 3, slots[3:])


async def test_nothing_is_kept_while_pressure_is_on_and_again_afterwards(pool: Pool) -> None:
    memory = Readings([machine(3)])
    watch = PressureWatch(memory, LIMITS, pool)
    first, second = await busy(pool, "f"), await busy(pool, "f")

    watch.look(0.0)
    await pool.give_back(first)
    await pool.give_back(second)
    assert not pool.ready.is_refilled
    assert pool.slots() == [first], "the next call of the function needs one"
    memory.now = [machine(50)]
    watch.look(1.0)
    watch.look(6.0)

    assert pool.ready.is_refilled
    assert not watch.is_on
    one, other = await busy(pool, "f"), await busy(pool, "f")
    await pool.give_back(one)
    await pool.give_back(other)
    assert pool.slots() == [one, other]


async def test_memory_that_cannot_be_read_evicts_nothing_and_ends_pressure(pool: Pool) -> None:
    await idle(pool, "a")
    await idle(pool, "b")
    memory = Readings([machine(3)])
    watch = PressureWatch(memory, LIMITS, pool)
    watch.look(0.0)

    memory.fails = True
    watch.look(1.0)
    watch.look(7.0)

    assert (watch.is_on, watch.evicted, len(pool.slots())) == (False, 1, 1)


def test_the_settings_are_checked() -> None:
    chosen = ExecutorSettings()

    assert PressureLimits(chosen.executor_memory_floor_percent, chosen.executor_memory_stall_percent) == LIMITS
    for wrong in ({"executor_memory_floor_percent": 100}, {"executor_memory_stall_percent": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ExecutorSettings(**wrong)  # type: ignore[arg-type]
