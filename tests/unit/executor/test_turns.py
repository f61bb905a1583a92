"""Turns of functions with a limit, and the places that those who wait do not take."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.delivery.places import Places
from services.executor.delivery.turns import Turns, aside_delay_s


def unseen() -> None:
    """Take no note of a turn that comes."""


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_begin_as_the_function_may_have_running() -> None:
    turns = Turns()

    assert [turns.begin("f", 2) for _ in range(3)] == [True, True, False]
    assert turns.begin("g", 1)


async def test_the_one_that_waited_longest_begins_when_one_ends() -> None:
    turns = Turns()
    turns.begin("f", 1)
    first, second = (asyncio.create_task(turns.wait("f", unseen)) for _ in range(2))
    await settled()

    turns.end("f")
    await settled()

    assert (first.done(), second.done()) == (True, False)
    assert not turns.begin("f", 1), "nobody overtakes who waits"
    turns.end("f")
    assert await second
    turns.end("f")
    assert turns.begin("f", 1)


async def test_who_waits_too_long_is_set_aside_and_is_given_no_turn_afterwards() -> None:
    turns = Turns(patience_s=0)
    turns.begin("f", 1)

    assert not await turns.wait("f", unseen)

    turns.end("f")
    assert turns.begin("f", 1)


async def test_no_more_wait_than_are_worth_holding() -> None:
    turns = Turns()
    turns.begin("f", 1)
    waiting = [asyncio.create_task(turns.wait("f", unseen)) for _ in range(30)]
    await settled()

    refused = [task for task in waiting if task.done()]

    assert {task.result() for task in refused} == {False}
    assert len(refused) == 14
    turns.close()
    assert not any(await asyncio.gather(*waiting))


async def test_a_waiter_that_is_cancelled_with_its_turn_passes_it_on() -> None:
    turns = Turns()
    turns.begin("f", 1)
    first, second = (asyncio.create_task(turns.wait("f", unseen)) for _ in range(2))
    await settled()

    turns.end("f")
    first.cancel()  # before it could see that its turn had come
    await settled()

    assert first.cancelled()
    assert await second


async def test_closing_sends_everybody_back_at_once() -> None:
    turns = Turns()
    turns.begin("f", 1)
    waiting = asyncio.create_task(turns.wait("f", unseen))
    await settled()

    turns.close()

    assert not await waiting
    assert not await turns.wait("f", unseen)
    assert turns.delay_s("f") == 0


def test_messages_come_back_soon_where_they_are_few_and_one_by_one_where_they_are_many() -> None:
    assert [aside_delay_s(others) for others in (0, 10, 100, 100_000)] == [1.0, 2.0, 11.0, 60.0]

    turns = Turns()
    assert max(round(turns.delay_s("f"), 1) for _ in range(101)) == 11.0
    assert turns.delay_s("g") == 1.0


@given(st.lists(st.sampled_from(["begin", "end", "cancel"]), max_size=40), st.integers(1, 3))
def test_whatever_happens_no_more_run_than_may_and_nobody_is_forgotten(steps: list[str], most: int) -> None:
    async def play() -> None:
        turns, running, waiting = Turns(), 0, list[asyncio.Task[bool]]()
        for step in steps:
            if step == "begin":
                if turns.begin("f", most):
                    running += 1
                else:
                    waiting.append(asyncio.create_task(turns.wait("f", unseen)))
            elif step == "end" and running:
                turns.end("f")
                running -= 1
            elif step == "cancel" and waiting:
                waiting.pop().cancel()
            await settled()
            begun = [task for task in waiting if task.done() and not task.cancelled() and task.result()]
            running += len(begun)
            waiting = [task for task in waiting if not task.done()]
            assert running <= most
            assert running == most or not waiting
        for task in waiting:
            task.cancel()

    asyncio.run(play())


@pytest.fixture
def places() -> Places:
    return Places(2, lambda: None)


async def test_a_place_that_was_left_is_free_for_others(places: Places) -> None:
    first, _ = places.take(sync=False), places.take(sync=True)
    assert (places.free, places.taken_async) == (0, 1)

    first.leave()
    first.leave()

    assert (places.free, places.taken_async) == (1, 0)


async def test_who_comes_back_has_a_place_before_new_messages(places: Places) -> None:
    mine, others = places.take(sync=False), places.take(sync=True)
    mine.leave()
    third = places.take(sync=True)
    mine.ask_back()
    back = asyncio.create_task(mine.come_back())
    await settled()
    assert not back.done()

    others.leave()
    assert places.free == 0
    await back

    third.leave()
    mine.leave()
    assert (places.free, places.taken_async) == (2, 0)


async def test_between_the_end_of_a_job_and_the_next_ones_turn_no_place_is_free_for_messages(places: Places) -> None:
    turns = Turns()
    running, waits = places.take(sync=True), places.take(sync=True)
    turns.begin("f", 1)
    waits.leave()
    turn = asyncio.create_task(turns.wait("f", waits.ask_back))
    await settled()
    others = places.take(sync=True)

    turns.end("f")
    running.leave()

    assert places.free == 0
    assert await turn
    await waits.come_back()
    waits.leave()
    others.leave()
    assert (places.free, places.taken_async) == (2, 0)


async def test_who_is_cancelled_on_its_way_back_takes_no_place(places: Places) -> None:
    mine, others = places.take(sync=True), places.take(sync=True)
    mine.leave()
    third = places.take(sync=True)
    mine.ask_back()
    back = asyncio.create_task(mine.come_back())
    await settled()

    others.leave()  # the place is its own from now on, and it does not know yet
    back.cancel()
    await asyncio.gather(back, return_exceptions=True)
    mine.leave()

    assert places.free == 1
    third.leave()
    assert places.free == 2
