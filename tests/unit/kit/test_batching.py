"""Entries that travel together: how many calls they make, and who learns what."""

import asyncio
from collections.abc import Sequence

import pytest

from nanogrid.batching import Batcher
from nanogrid.errors import UnavailableError
from support.waiting import until, watched


class Backend:
    """Notes the calls it gets; they end when `gate` is open."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False

    async def __call__(self, entries: Sequence[dict[str, int]]) -> Sequence[Exception | None]:
        self.calls.append([entry["n"] for entry in entries])
        await self.gate.wait()
        if self.down:
            raise UnavailableError("down")
        return [ValueError(str(entry["n"])) if entry["n"] < 0 else None for entry in entries]


@pytest.fixture
async def backend() -> Backend:
    return Backend()


async def test_entries_of_one_turn_share_calls_of_ten(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=5)

    await asyncio.gather(*(batches.add({"n": n}) for n in range(23)))

    assert backend.calls == [list(range(10)), list(range(10, 20)), [20, 21, 22]]


async def test_while_every_lane_is_busy_entries_gather(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=2)
    backend.gate.clear()
    waiting = []
    for n in range(8):
        waiting.append(batches.add({"n": n}))
        await asyncio.sleep(0)
    await until(lambda: len(backend.calls) == 2)

    backend.gate.set()
    await asyncio.gather(*waiting)

    assert backend.calls == [[0], [1], [2, 3, 4, 5, 6, 7]]


async def test_lingering_entries_wait_for_company_but_a_full_call_does_not(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=2, linger_s=0.05)
    for n in range(12):
        batches.add({"n": n})
        await asyncio.sleep(0)
    assert backend.calls == [list(range(10))]

    await until(lambda: len(backend.calls) == 2)
    assert backend.calls[1] == [10, 11]

    batches.add({"n": 12})
    await batches.flush()
    assert backend.calls[2] == [12]


async def test_waiting_for_what_was_added_ends_though_more_is_added(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=1)

    def add_until_idle(_: object = None) -> None:
        if not waiting.done():
            batches.add({"n": 1}).add_done_callback(add_until_idle)

    waiting = asyncio.create_task(batches.flush())
    add_until_idle()
    await watched(waiting)


async def test_entries_too_large_for_one_call_are_spread_in_their_order(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=5, max_bytes=100)

    await asyncio.gather(*(batches.add({"n": n}, size) for n, size in enumerate([60, 40, 1, 500, 99])))

    assert backend.calls == [[0, 1], [2], [3], [4]]


async def test_each_entry_has_its_own_outcome(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=1)

    ends = await asyncio.gather(*(batches.add({"n": n}) for n in (1, -2, 3)), return_exceptions=True)

    assert [type(end) for end in ends] == [type(None), ValueError, type(None)]
    backend.down = True
    ends = await asyncio.gather(*(batches.add({"n": n}) for n in (1, -2)), return_exceptions=True)
    assert [type(end) for end in ends] == [UnavailableError, UnavailableError]


async def test_an_entry_whose_caller_was_cancelled_is_sent_and_harms_nobody(backend: Backend) -> None:
    batches = Batcher(backend, max_items=10, max_calls=1)
    gone, stays = batches.add({"n": 1}), batches.add({"n": 2})
    gone.cancel()

    await stays

    assert backend.calls == [[1, 2]]
