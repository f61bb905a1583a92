"""Receipts, holds and dead letters as only SQS has them."""

import asyncio
import time
from contextlib import suppress

import pytest

from nanogrid.errors import UnavailableError
from nanogrid.queue import Depth, ReceiptLostError, TaskQueue, open_queue
from support.sqs.shelf import Shelf
from support.sqs_queues import only, shelf
from support.sqs_server import SqsHere
from support.waiting import WATCHDOG_S, until


async def test_the_services_limit_ends_a_hold_and_setting_aside_begins_another(server: SqsHere) -> None:
    now_s = 0.0
    shelf(server).hold_s, shelf(server).clock = 300, lambda: now_s
    async with open_queue("sqs://tasks?hold_s=300", "one", 100) as queue:
        assert queue.hold_s == 300
        await queue.send(b"long")
        first = await only(queue)
        while now_s < 200:
            now_s += 50
            await queue.extend(first)
        now_s += 10
        with pytest.raises(ReceiptLostError):
            await queue.extend(first)

        await queue.set_aside(first, 0)
        again = await only(queue)
        assert (again.body, again.receives) == (b"long", 1)
        while now_s < 350:
            now_s += 70
            await queue.extend(again)
        assert shelf(server).counts["held"] == 1


async def test_what_reached_the_limit_can_still_be_given_back_with_a_delay(server: SqsHere) -> None:
    shelf(server).hold_s = 2
    async with open_queue("sqs://tasks?hold_s=2", "one", 1) as queue:
        await queue.send(b"long")

        await queue.release(await only(queue), 60)

        assert (await only(queue)).receives == 2


async def test_a_receipt_that_ran_out_is_lost_although_the_service_would_take_it(server: SqsHere) -> None:
    async with open_queue("sqs://tasks", "one", 1) as queue, open_queue("sqs://tasks", "two", 60) as other:
        await queue.send(b"slow")
        first = await only(queue)
        received_at = time.monotonic()
        second = await only(other)
        await until(lambda: time.monotonic() > received_at + 1)  # by our clock, which began with the answer, too
        server.cloud.mischief.stale_receipts = 1.0

        with pytest.raises(ReceiptLostError):
            await queue.extend(first)
        with pytest.raises(ReceiptLostError):
            await queue.set_aside(first, 0)
        await other.extend(second)


async def test_a_message_handed_out_too_early_is_lost_to_its_first_receiver(server: SqsHere, queue: TaskQueue) -> None:
    server.cloud.mischief.early_redelivery = 1.0
    server.cloud.mischief.seed = 2
    await queue.send(b"twice")
    async with open_queue("sqs://tasks", "early", 1) as early:
        first = await only(early)
        await until(lambda: not shelf(server).counts["held"] or shelf(server).ripen())
        server.cloud.mischief.early_redelivery = 0
        second = await only(queue)

        with pytest.raises(ReceiptLostError):
            await early.extend(first)
        await queue.extend(second)


async def test_the_backends_own_dead_letters_have_no_reason(server: SqsHere, queue: TaskQueue) -> None:
    await queue.send(b"poison")
    for _ in range(3):
        await queue.release(await only(queue), 0)
    assert await queue.receive(1, 1) == []

    [letter] = await queue.dead_letters(5)

    assert (letter.body, letter.reason, letter.receives) == (b"poison", "", 3)
    assert await queue.redrive([letter.letter_id]) == 1
    assert (await only(queue)).receives == 1


async def test_a_letter_carries_the_id_of_the_message_it_was(server: SqsHere, queue: TaskQueue) -> None:
    shelf(server).put("the-original", "bad", {}, 0)

    await queue.bury(await only(queue), "")

    [letter] = server.cloud.shelves["tasks-dlq"]._messages.values()
    told = {name: value["StringValue"] for name, value in letter.attributes.items()}
    assert told == {"original-id": "the-original", "receives": "1"}


async def test_a_message_put_there_by_hand_is_received(server: SqsHere, queue: TaskQueue) -> None:
    attributes = {
        "earlier-receives": {"DataType": "String", "StringValue": "many"},
        "encoding": {"DataType": "String", "StringValue": "zlib+base64"},
    }
    shelf(server).put("by-hand", '{"by": "hand"}', attributes, 0)

    delivery = await only(queue)

    assert (delivery.body, delivery.receives) == (b'{"by": "hand"}', 1)


async def test_a_letter_is_never_lost_between_queue_and_dead_letter_queue(server: SqsHere, queue: TaskQueue) -> None:
    await queue.send(b"bad")
    await queue.bury(await only(queue), "bad")
    [letter] = await queue.dead_letters(1)

    server.cloud.down = {"SendMessage", "SendMessageBatch"}
    with pytest.raises(UnavailableError):
        await queue.redrive([letter.letter_id])
    assert await queue.depth() == Depth(waiting=0, in_flight=0, delayed=0, dead=1)

    server.cloud.down = {"DeleteMessage", "DeleteMessageBatch"}
    with pytest.raises(UnavailableError):
        await queue.purge([letter.letter_id])
    with pytest.raises(UnavailableError):
        await queue.redrive([letter.letter_id])
    assert await queue.depth() == Depth(waiting=1, in_flight=0, delayed=0, dead=1)


async def test_a_message_that_cannot_be_buried_or_set_aside_stays_ours(server: SqsHere, queue: TaskQueue) -> None:
    await queue.send(b"bad")
    delivery = await only(queue)

    server.cloud.down = {"SendMessage"}
    with pytest.raises(UnavailableError):
        await queue.bury(delivery, "bad")
    with pytest.raises(UnavailableError):
        await queue.set_aside(delivery, 0)

    await queue.extend(delivery)
    assert await queue.depth() == Depth(waiting=0, in_flight=1, delayed=0, dead=0)


async def test_too_many_messages_in_flight_look_like_an_empty_queue(server: SqsHere, queue: TaskQueue) -> None:
    shelf(server).most_in_flight = 1
    await asyncio.gather(queue.send(b"1"), queue.send(b"2"))
    held = await only(queue)

    assert await queue.receive(1, 0.1) == []
    await queue.delete(held)
    assert len(await queue.receive(1, 5)) == 1


async def test_a_queue_that_is_not_there_is_named(server: SqsHere) -> None:
    del server.cloud.shelves["tasks-dlq"]
    for url, name in (("sqs://nothing", "queue nothing"), ("sqs://tasks", "dead-letter queue tasks-dlq")):
        with pytest.raises(UnavailableError, match=f"the {name} does not exist"):
            async with open_queue(url, "one"):
                pass


async def test_a_queue_is_found_by_its_url_and_its_dead_letters_without_a_policy(server: SqsHere) -> None:
    shelf(server).attributes["RedrivePolicy"] = ""

    async with open_queue(f"sqs:{server.url}/000000000000/tasks", "one") as queue:
        await queue.send(b"x")
        await queue.bury(await only(queue), "bad")

        assert (await queue.depth()).dead == 1


class Crowd:
    """Sends until each message is accepted, and receives until all have been seen and the queue is empty."""

    def __init__(self, shelf: Shelf, count: int) -> None:
        self._shelf = shelf
        self._count = count
        self.accepted: set[bytes] = set()
        self.received: list[bytes] = []

    async def run(self, *queues: TaskQueue) -> None:
        async with asyncio.timeout(WATCHDOG_S), asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._send(queues[number % len(queues)], b"%d" % number))
            for queue in queues:
                group.create_task(self._consume(queue))

    async def _send(self, queue: TaskQueue, body: bytes) -> None:
        while body not in self.accepted:
            with suppress(UnavailableError):
                await queue.send(body)
                self.accepted.add(body)

    async def _consume(self, queue: TaskQueue) -> None:
        while len(set(self.received)) < self._count or self._shelf.counts.total():
            with suppress(UnavailableError, ReceiptLostError):
                for delivery in await queue.receive(10, 1):
                    await queue.extend(delivery)
                    self.received.append(delivery.body)
                    await queue.delete(delivery)


@pytest.mark.parametrize("seed", [1, 2])
async def test_through_all_adversity_every_accepted_message_is_received_and_the_queue_runs_empty(
    server: SqsHere, seed: int
) -> None:
    mischief = server.cloud.mischief
    shelf(server).most_receives = 1000  # the misfortunes of one message may be many
    mischief.seed, mischief.reorder = seed, 0.3
    mischief.duplicates = mischief.lost_deletes = mischief.early_redelivery = 0.1
    mischief.scarce = mischief.batch_faults = mischief.throttle = mischief.errors = mischief.cut = 0.03
    crowd = Crowd(shelf(server), 300)

    async with open_queue("sqs://tasks", "one", 1) as queue, open_queue("sqs://tasks", "two", 1) as other:
        await crowd.run(queue, other)

    assert crowd.accepted == set(crowd.received)
    assert len(crowd.received) > 300
    assert {"duplicates", "lost_deletes", "early_redelivery", "cut", "throttle"} <= mischief.struck.keys()
