"""What every TaskQueue promises; each adapter passes all of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from nanogrid.queue import Delivery, Depth, ReceiptLostError, TaskQueue, open_queue
from support.sqs_server import create_queues

VISIBILITY_S = 1.0
Opener = Callable[[str], AbstractAsyncContextManager[TaskQueue]]


@pytest.fixture(params=["redis", "sqs", "sqs-moto"])
def opener(request: pytest.FixtureRequest) -> Opener:
    """Opens the same queue for a consumer of the given name."""
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
    else:
        request.getfixturevalue("sqs" if request.param == "sqs" else "aws")
        create_queues("tasks")
        url = "sqs://tasks"
    return lambda consumer: open_queue(url, consumer, VISIBILITY_S)


@pytest.fixture
async def queue(opener: Opener) -> AsyncIterator[TaskQueue]:
    async with opener("one") as opened:
        yield opened


async def only(queue: TaskQueue, wait_s: float = 5.0) -> Delivery:
    [delivery] = await queue.receive(1, wait_s)
    return delivery


async def dead(queue: TaskQueue, count: int) -> None:
    for number in range(count):
        await queue.send(b"%d" % number)
    for _ in range(count):
        delivery = await only(queue)
        await queue.bury(delivery, f"number {delivery.body.decode()}")


async def test_a_message_comes_out_as_it_went_in(queue: TaskQueue) -> None:
    body = '{"text": "안녕 : \\n"}'.encode()

    await queue.send(body)

    delivery = await only(queue)
    assert (delivery.body, delivery.receives) == (body, 1)


async def test_receiving_waits_for_a_message_that_comes_later(queue: TaskQueue) -> None:
    receiving = asyncio.create_task(queue.receive(1, 10))

    await queue.send(b"late")

    [delivery] = await receiving
    assert delivery.body == b"late"


async def test_receiving_from_an_empty_queue_ends_with_the_wait(queue: TaskQueue) -> None:
    assert await queue.receive(1, 0.05) == []


async def test_no_more_than_asked_for_is_taken(queue: TaskQueue) -> None:
    for number in range(5):
        await queue.send(b"%d" % number)

    taken = await queue.receive(3, 1)

    assert len(taken) == 3
    assert await queue.depth() == Depth(waiting=2, in_flight=3, delayed=0, dead=0)


async def test_a_held_message_is_invisible_and_a_deleted_one_is_gone(opener: Opener, queue: TaskQueue) -> None:
    await queue.send(b"held")
    delivery = await only(queue)

    async with opener("two") as other:
        assert await other.receive(1, 0.05) == []
        await queue.delete(delivery)
        assert await other.receive(1, 1.5 * VISIBILITY_S) == []

    assert await queue.depth() == Depth(0, 0, 0, 0)


async def test_deleting_twice_is_no_error(queue: TaskQueue) -> None:
    await queue.send(b"once")
    delivery = await only(queue)

    await queue.delete(delivery)
    await queue.delete(delivery)

    assert await queue.depth() == Depth(0, 0, 0, 0)


async def test_a_dead_receivers_message_goes_to_another_and_counts_it(opener: Opener, queue: TaskQueue) -> None:
    await queue.send(b"orphan")
    await only(queue)

    async with opener("two") as other:
        delivery = await only(other, wait_s=5 * VISIBILITY_S)

    assert (delivery.body, delivery.receives) == (b"orphan", 2)


async def test_extending_keeps_a_message_longer_than_its_visibility(opener: Opener, queue: TaskQueue) -> None:
    await queue.send(b"long")
    delivery = await only(queue)

    async with opener("two") as other:
        taking = asyncio.create_task(other.receive(1, 3 * VISIBILITY_S))
        while not taking.done():
            await queue.extend(delivery)
            await asyncio.wait([taking], timeout=VISIBILITY_S / 4)

    assert taking.result() == []


async def test_what_another_receiver_took_cannot_be_extended_given_back_or_buried(
    opener: Opener, queue: TaskQueue
) -> None:
    await queue.send(b"lost")
    delivery = await only(queue)

    async with opener("two") as other:
        await only(other, wait_s=5 * VISIBILITY_S)

        with pytest.raises(ReceiptLostError):
            await queue.extend(delivery)
        with pytest.raises(ReceiptLostError):
            await queue.release(delivery, 0)
        with pytest.raises(ReceiptLostError):
            await queue.set_aside(delivery, 0)
        with pytest.raises(ReceiptLostError):
            await queue.bury(delivery, "no")
    assert await queue.dead_letters(10) == []


async def test_a_released_message_returns_after_its_delay_and_keeps_its_count(queue: TaskQueue) -> None:
    await queue.send(b"again")
    await queue.release(await only(queue), 0.3)

    depth = await queue.depth()
    assert (depth.waiting, depth.in_flight + depth.delayed) == (0, 1)
    assert await queue.receive(1, 0.05) == []
    delivery = await only(queue)
    assert (delivery.body, delivery.receives) == (b"again", 2)
    await queue.release(delivery, 0)
    assert (await only(queue)).receives == 3


async def test_a_buried_message_is_counted_dead_and_never_received(queue: TaskQueue) -> None:
    await queue.send(b"bad")

    await queue.bury(await only(queue), "not JSON")

    assert await queue.receive(1, 1.5 * VISIBILITY_S) == []
    assert await queue.depth() == Depth(0, 0, 0, dead=1)


async def test_several_receivers_share_the_messages_without_overlap(opener: Opener, queue: TaskQueue) -> None:
    for number in range(50):
        await queue.send(b"%d" % number)

    async with opener("two") as other:
        both = [d.body for q in (queue, other) * 5 for d in await q.receive(5, 0.1)]

    assert sorted(both, key=int) == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("body", [b"", b"\xff\x00\xfe", '{"a": "\uffff\x07"}'.encode(), b"x" * 190_000, b"zlib+base64"])
async def test_any_bytes_come_out_as_they_went_in(queue: TaskQueue, body: bytes) -> None:
    await queue.send(body)

    assert (await only(queue)).body == body


async def test_a_message_set_aside_returns_after_its_delay_as_if_this_receive_had_not_been(queue: TaskQueue) -> None:
    await queue.send(b"not now")
    await queue.release(await only(queue), 0)
    delivery = await only(queue)
    assert delivery.receives == 2

    await queue.set_aside(delivery, 0.3)

    assert (await queue.depth()).delayed == 1
    assert await queue.receive(1, 0.05) == []
    delivery = await only(queue)
    assert (delivery.body, delivery.receives) == (b"not now", 2)
    await queue.set_aside(delivery, 0)
    assert (await only(queue)).receives == 2


async def test_what_was_set_aside_is_there_once(queue: TaskQueue) -> None:
    await queue.send(b"once")
    await queue.set_aside(await only(queue), 0)

    await queue.delete(await only(queue))

    assert await queue.receive(1, 1.5 * VISIBILITY_S) == []
    assert await queue.depth() == Depth(0, 0, 0, 0)


async def test_a_dead_letter_tells_what_it_was_and_why_it_died(queue: TaskQueue) -> None:
    before_ms = time.time() * 1000
    await queue.send('{"안녕": "\uffff"}'.encode())
    await queue.release(await only(queue), 0)
    await queue.bury(await only(queue), "not JSON: 아니오")

    [letter] = await queue.dead_letters(10)

    assert (letter.body, letter.reason, letter.receives) == ('{"안녕": "\uffff"}'.encode(), "not JSON: 아니오", 2)
    assert before_ms - 1000 < letter.died_at_ms < time.time() * 1000 + 1000
    assert await queue.dead_letters(10) == [letter]
    assert (await queue.depth()).dead == 1


async def test_a_redriven_letter_is_received_once_as_if_it_were_new(queue: TaskQueue) -> None:
    await queue.send(b"\xff again")
    await queue.release(await only(queue), 0)
    await queue.bury(await only(queue), "broken")
    [letter] = await queue.dead_letters(10)

    assert await queue.redrive([letter.letter_id, "unknown"]) == 1
    assert await queue.redrive([letter.letter_id]) == 0

    delivery = await only(queue)
    assert (delivery.body, delivery.receives) == (b"\xff again", 1)
    assert await queue.depth() == Depth(waiting=0, in_flight=1, delayed=0, dead=0)


async def test_of_many_letters_those_named_are_purged_and_the_others_stay(queue: TaskQueue) -> None:
    await dead(queue, 13)
    letters = await queue.dead_letters(20)
    gone = {letter.letter_id for letter in letters[::2]}

    assert await queue.purge(gone) == len(gone) == 7
    assert await queue.purge(gone) == 0

    left = await queue.dead_letters(20)
    assert sorted(letter.body for letter in left) == sorted(letter.body for letter in letters[1::2])
    assert len(await queue.dead_letters(2)) == 2


async def test_of_many_letters_those_named_are_redriven(queue: TaskQueue) -> None:
    await dead(queue, 12)
    letters = await queue.dead_letters(20)

    assert await queue.redrive([letter.letter_id for letter in letters[:11]]) == 11

    bodies = [(await only(queue)).body for _ in range(11)]
    assert sorted(bodies) == sorted(letter.body for letter in letters[:11])
    assert [letter.letter_id for letter in await queue.dead_letters(20)] == [letters[11].letter_id]


async def test_unknown_letters_are_not_counted(queue: TaskQueue) -> None:
    assert await queue.redrive([]) == 0
    assert await queue.redrive(["unknown", "1-1", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]) == 0
    assert await queue.purge(["unknown", "1-1", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]) == 0
    assert await queue.purge([]) == 0


async def test_a_message_can_be_held_for_twelve_hours_at_least(queue: TaskQueue) -> None:
    assert queue.hold_s >= 12 * 3600


def test_an_unknown_scheme_names_the_setting_and_the_cure() -> None:
    async def opening() -> None:
        async with open_queue("kafka://somewhere", "one"):
            pass

    with pytest.raises(ValueError, match=r"NANOGRID_QUEUE_URL.*redis://"):
        asyncio.run(opening())
