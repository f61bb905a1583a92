"""What only the SQS queue promises: few calls, nothing lost when a call fails or the service misbehaves."""

import asyncio
import threading

import pytest

from nanogrid.errors import TooLargeError, UnavailableError
from nanogrid.queue import Depth, TaskQueue, open_queue
from support.sqs_queues import VISIBILITY_S, only, shelf, take
from support.sqs_server import SqsHere
from support.waiting import until


async def test_a_call_costs_a_send_a_receive_and_a_delete(server: SqsHere, queue: TaskQueue) -> None:
    server.cloud.calls.clear()

    await queue.send(b"one")
    await queue.delete(await only(queue))
    await until(lambda: not shelf(server).counts.total())

    assert server.cloud.calls == {"SendMessage": 1, "ReceiveMessage": 1, "DeleteMessage": 1}


async def test_under_load_ten_messages_share_each_call(server: SqsHere, queue: TaskQueue) -> None:
    server.cloud.calls.clear()

    await asyncio.gather(*(queue.send(b"%d" % number) for number in range(100)))
    for delivery in await take(queue, 100):
        await queue.delete(delivery)
    assert await queue.depth() == Depth(0, 0, 0, 0)

    calls = server.cloud.calls
    assert (calls["SendMessageBatch"], calls["ReceiveMessage"], calls["DeleteMessageBatch"]) == (10, 10, 10)
    assert calls.total() == 30 + 2  # the depth of two queues


async def test_an_idle_wait_is_one_call(server: SqsHere, queue: TaskQueue) -> None:
    server.cloud.calls.clear()

    assert await queue.receive(1, 2.5) == []

    assert server.cloud.calls["ReceiveMessage"] == 1


async def test_a_waiting_poll_keeps_no_other_call_waiting(server: SqsHere, queue: TaskQueue) -> None:
    await asyncio.gather(*(queue.send(b"%d" % number) for number in range(3)))
    first, second, third = await take(queue, 3)
    polling = asyncio.create_task(queue.receive(1, 20))
    await until(lambda: server.cloud.calls["ReceiveMessage"] >= 2)

    await asyncio.gather(*(queue.extend(first) for _ in range(30)))
    await queue.delete(second)
    await queue.bury(third, "bad")
    assert await queue.depth() == Depth(waiting=0, in_flight=1, delayed=0, dead=1)

    assert not polling.done()
    assert [thread.name for thread in threading.enumerate()].count("sqs-poll_0") == 1
    await queue.release(first, 0)
    assert [one.body for one in await polling] == [first.body]


async def test_what_a_cancelled_receive_still_brings_is_given_back(server: SqsHere, queue: TaskQueue) -> None:
    polling = asyncio.create_task(queue.receive(1, 20))
    await until(lambda: server.cloud.calls["ReceiveMessage"])
    polling.cancel()
    await asyncio.wait([polling])
    assert polling.cancelled()

    await queue.send(b"given back")

    delivery = await only(queue)
    assert (delivery.body, delivery.receives) == (b"given back", 2)


async def test_closing_waits_for_the_poll_and_gives_back_what_it_brings(server: SqsHere) -> None:
    async with open_queue("sqs://tasks", "one", VISIBILITY_S) as queue:
        polling = asyncio.create_task(queue.receive(1, 3))
        await until(lambda: server.cloud.calls["ReceiveMessage"])
        polling.cancel()
        await asyncio.wait([polling])
        shelf(server).put("id", "late", {}, 0.5)

    assert shelf(server).counts["waiting"] == 1


async def test_closing_deletes_what_is_done(server: SqsHere) -> None:
    async with open_queue("sqs://tasks", "one", VISIBILITY_S) as queue:
        await queue.send(b"done")
        await queue.delete(await only(queue))

    assert shelf(server).counts.total() == 0


async def test_each_sender_learns_how_its_own_message_fared(server: SqsHere, queue: TaskQueue) -> None:
    server.cloud.mischief.batch_faults = 0.5
    bodies = [b"%d" % number for number in range(100)]

    ends = await asyncio.gather(*(queue.send(body) for body in bodies), return_exceptions=True)

    server.cloud.mischief.batch_faults = 0
    sent = [body for body, end in zip(bodies, ends, strict=True) if end is None]
    assert {type(end) for end in ends} == {type(None), UnavailableError}
    assert len(sent) > 60  # a quarter fails twice
    assert sorted(one.body for one in await take(queue, len(sent))) == sorted(sent)


async def test_large_messages_do_not_share_a_call_that_is_too_small_for_them(server: SqsHere, queue: TaskQueue) -> None:
    bodies = [b"%d" % number + b"x" * 100_000 for number in range(7)]

    await asyncio.gather(*(queue.send(body) for body in bodies))

    assert sorted(one.body for one in await take(queue, 7)) == sorted(bodies)
    assert server.cloud.calls["SendMessageBatch"] == 3


async def test_a_message_the_queue_does_not_take_is_told_with_both_numbers(queue: TaskQueue) -> None:
    with pytest.raises(TooLargeError, match=r"1048577 bytes; the limit is 1048576"):
        await queue.send(b"x" * (1024 * 1024 + 1))
    await queue.send(b"x" * 1024 * 1024)


async def test_deletions_of_a_moment_share_a_call(server: SqsHere, queue: TaskQueue) -> None:
    await asyncio.gather(*(queue.send(b"%d" % number) for number in range(10)))

    for delivery in await take(queue, 10):
        await queue.delete(delivery)
        await asyncio.sleep(0)
    await until(lambda: not shelf(server).counts.total())

    assert (server.cloud.calls["DeleteMessageBatch"], server.cloud.calls["DeleteMessage"]) == (1, 0)


async def test_deletions_that_fail_are_tried_again(server: SqsHere, queue: TaskQueue) -> None:
    await asyncio.gather(*(queue.send(b"%d" % number) for number in range(40)))
    deliveries = await take(queue, 40)

    server.cloud.mischief.batch_faults = 0.4  # six stay after a second try
    for delivery in deliveries:
        await queue.delete(delivery)

    await until(lambda: not shelf(server).counts.total())
    assert server.cloud.mischief.struck["batch_faults"] >= 5


async def test_an_outage_is_told_and_loses_nothing(server: SqsHere, queue: TaskQueue) -> None:
    await queue.send(b"before")
    held = await only(queue)

    await server.stop()
    for doing in (queue.send(b"x"), queue.receive(1, 1), queue.extend(held), queue.set_aside(held, 0), queue.depth()):
        with pytest.raises(UnavailableError, match="the queue"):
            await doing
    with pytest.raises(UnavailableError, match="the queue"):
        await queue.bury(held, "bad")
    await server.start()

    await queue.extend(held)
    await queue.release(held, 0)
    assert (await only(queue)).body == b"before"
