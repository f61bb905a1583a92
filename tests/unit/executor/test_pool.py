import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.runtimes import RUNTIMES
from services.executor.pool.pool import Pool, PoolLimits
from services.executor.pool.ready import Ready
from services.executor.pool.slot import Slot, SlotState
from services.executor.sandbox import SandboxStartError, Specialisation
from support.fake_sandboxes import FakeProvider
from support.waiting import until

PYTHON = RUNTIMES["python3.11"]


@pytest.fixture
def provider(tmp_path: Path) -> FakeProvider:
    return FakeProvider(tmp_path)


def a_pool(provider: FakeProvider, *, idle_s: float = 60, freeze_after_s: float = 60) -> Pool:
    ready = Ready(provider, least={}, most=0, offered=tuple)
    return Pool(provider, ready, PoolLimits(most=2, idle_s=idle_s, freeze_after_s=freeze_after_s))


@pytest.fixture
async def pool(provider: FakeProvider) -> AsyncIterator[Pool]:
    made = a_pool(provider)
    yield made
    await made.close()


async def busy(pool: Pool, function_id: str) -> Slot:
    slot = await pool.take(function_id, PYTHON)
    if slot.state is SlotState.GENERIC:
        what = Specialisation(function_id, Path(), "main.handler", 128)
        assert await slot.specialise(what, lambda *_: None) is None
    return slot


async def test_a_function_gets_its_own_sandbox_back(pool: Pool, provider: FakeProvider) -> None:
    first = await busy(pool, "f")
    await pool.give_back(first)

    again = await busy(pool, "f")

    assert again is first
    assert provider.made == 1


async def test_two_functions_never_share_a_sandbox(pool: Pool) -> None:
    first = await busy(pool, "f")
    await pool.give_back(first)

    other = await busy(pool, "g")

    assert other.sandbox.sandbox_id != first.sandbox.sandbox_id


async def test_calls_that_overlap_get_sandboxes_of_their_own(pool: Pool) -> None:
    first, second = await busy(pool, "f"), await busy(pool, "f")

    assert first is not second


async def test_a_newcomer_takes_the_place_of_the_longest_unused(pool: Pool, provider: FakeProvider) -> None:
    old, new = await busy(pool, "old"), await busy(pool, "new")
    await pool.give_back(old)
    await pool.give_back(new)

    await busy(pool, "newcomer")
    await pool.close()

    assert provider.destroyed[0] == old.sandbox.sandbox_id


async def test_a_full_pool_makes_newcomers_wait_until_one_rests(pool: Pool) -> None:
    first, second = await busy(pool, "a"), await busy(pool, "b")
    waiting = asyncio.create_task(busy(pool, "c"))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()

    await pool.give_back(second)

    assert (await waiting).function_id == "c"
    assert first.state is SlotState.BUSY


async def test_an_unsound_sandbox_is_destroyed_and_its_place_is_free(pool: Pool, provider: FakeProvider) -> None:
    slot, _ = await busy(pool, "f"), await busy(pool, "other")
    waiting = asyncio.create_task(busy(pool, "f"))
    await asyncio.wait([waiting], timeout=0.05)

    await slot.destroy()
    await pool.give_back(slot)

    assert await waiting is not slot
    assert slot.sandbox.sandbox_id in provider.destroyed


async def test_a_failed_start_leaves_its_place_free(pool: Pool, provider: FakeProvider) -> None:
    provider.fails = 5
    for _ in range(5):
        with pytest.raises(SandboxStartError):
            await busy(pool, "f")

    assert (await busy(pool, "f")).state is SlotState.BUSY


async def test_resting_sandboxes_freeze_and_thaw_for_the_next_call(provider: FakeProvider) -> None:
    pool = a_pool(provider, freeze_after_s=0)
    slot = await busy(pool, "f")
    await pool.give_back(slot)
    await pool.tidy(slot.used_at + 1)
    assert slot.state is SlotState.FROZEN
    assert slot.sandbox.frozen  # type: ignore[attr-defined]

    again = await busy(pool, "f")

    assert again is slot
    assert not slot.sandbox.frozen  # type: ignore[attr-defined]
    await pool.close()


async def test_a_sandbox_unused_for_too_long_goes(pool: Pool) -> None:
    slot = await busy(pool, "f")
    await pool.give_back(slot)

    await pool.tidy(slot.used_at + 59)
    assert pool.slots() == [slot]
    await pool.tidy(slot.used_at + 61)

    assert pool.slots() == []


async def test_a_sandbox_that_died_while_it_rested_serves_nobody(pool: Pool, provider: FakeProvider) -> None:
    slot = await busy(pool, "f")
    await pool.give_back(slot)
    slot.sandbox.alive = False  # type: ignore[misc]

    assert await busy(pool, "f") is not slot


async def test_eviction_takes_the_longest_unused_first_and_never_one_that_serves(pool: Pool) -> None:
    old, working = await busy(pool, "old"), await busy(pool, "working")
    await pool.give_back(old)

    assert pool.evict(2) == 1

    assert pool.slots() == [working]


async def test_eviction_takes_idle_sandboxes_of_a_function_that_runs_last(provider: FakeProvider) -> None:
    ready = Ready(provider, least={}, most=0, offered=tuple)
    pool = Pool(provider, ready, PoolLimits(most=4, idle_s=60, freeze_after_s=60))
    spare, working, other = await busy(pool, "f"), await busy(pool, "f"), await busy(pool, "g")
    await pool.give_back(spare)
    await pool.give_back(other)

    assert pool.evict(1) == 1
    assert pool.slots() == [spare, working]
    assert pool.evict(5) == 1
    assert pool.slots() == [working]
    await pool.close()


async def test_eviction_takes_generic_and_frozen_sandboxes_too(provider: FakeProvider) -> None:
    ready = Ready(provider, least={"*": 1}, most=1, offered=lambda: ["python3.11"])
    pool = Pool(provider, ready, PoolLimits(most=4, idle_s=60, freeze_after_s=0))
    slot = await busy(pool, "f")
    await pool.give_back(slot)
    await pool.tidy(slot.used_at + 1)
    filling = asyncio.create_task(ready.keep_filled())
    await until(ready.slots)

    pool.keep_idle(False)
    taken = await pool.take("new", PYTHON)  # generic, too, until its function is loaded
    assert pool.evict(5) == 1
    assert pool.slots() == [taken]
    pool.keep_idle(True)
    await until(ready.slots)
    assert pool.evict(5) == 1

    assert pool.slots() == [taken]
    filling.cancel()
    await pool.close()


async def test_where_idle_ones_are_not_kept_a_function_has_one_for_its_next_call(pool: Pool) -> None:
    first, second = await busy(pool, "f"), await busy(pool, "f")
    pool.keep_idle(False)

    await pool.give_back(first)
    await pool.give_back(second)

    assert pool.slots() == [first]
    assert await busy(pool, "f") is first


async def test_a_call_that_ends_after_its_sandbox_was_closed_is_no_fault(pool: Pool) -> None:
    slot = await busy(pool, "f")
    pool.keep_idle(False)
    await pool.close()

    await pool.give_back(slot)

    assert pool.slots() == []


def test_the_states_are_closed(provider: FakeProvider) -> None:
    async def dead_slot() -> None:
        slot = Slot(await provider.create(PYTHON))
        await slot.destroy()
        await slot.take()

    with pytest.raises(AssertionError, match="cannot go from"):
        asyncio.run(dead_slot())
