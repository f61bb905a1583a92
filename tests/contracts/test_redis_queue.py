"""What only the Redis queue promises."""

from redis.asyncio import Redis

from nanogrid.queue import Depth, open_queue
from support.waiting import until


async def test_a_receiver_that_starts_again_under_its_name_gets_at_once_what_it_held(redis_url: str) -> None:
    async with open_queue(redis_url, "one", visibility_s=600) as crashed:
        await crashed.send(b"held")
        await crashed.receive(1, 5)

    async with open_queue(redis_url, "one", visibility_s=600) as again:
        [delivery] = await again.receive(1, 5)
        await again.extend(delivery)

    assert (delivery.body, delivery.receives) == (b"held", 2)


async def test_a_queue_that_was_flushed_is_empty_and_goes_on(redis_url: str) -> None:
    async with open_queue(redis_url, "one") as queue, Redis.from_url(redis_url) as client:
        await client.flushall()

        assert await queue.depth() == Depth(0, 0, 0, 0)

        await queue.send(b"later")
        assert (await queue.depth()).waiting == 1


async def test_what_somebody_waits_for_comes_first(redis_url: str) -> None:
    async with open_queue(redis_url, "one", visibility_s=600) as queue:
        for number in range(5):
            await queue.send(b"patient %d" % number)
        await queue.send(b"urgent", sync=True)

        received = await queue.receive(3, 5)

    assert [(one.body, one.sync) for one in received] == [
        (b"urgent", True),
        (b"patient 0", False),
        (b"patient 1", False),
    ]


async def test_no_more_of_what_nobody_waits_for_is_taken_than_there_is_room_for(redis_url: str) -> None:
    async with open_queue(redis_url, "one", visibility_s=600) as queue:
        for number in range(5):
            await queue.send(b"%d" % number)

        assert await queue.receive(4, 0.05, async_count=0) == []
        assert len(await queue.receive(4, 5, async_count=2)) == 2
        await queue.send(b"urgent", sync=True)
        assert [one.body for one in await queue.receive(4, 5, async_count=0)] == [b"urgent"]


async def test_what_was_given_back_does_not_wait_behind_a_backlog(redis_url: str) -> None:
    async with open_queue(redis_url, "one", visibility_s=600) as queue:
        await queue.send(b"given back")
        [delivery] = await queue.receive(1, 5)
        for number in range(10):
            await queue.send(b"%d" % number)
        await queue.set_aside(delivery, 0)

        [again] = await queue.receive(1, 5)
        assert (again.body, again.receives) == (b"given back", 1)
        await queue.release(again, 0.01)
        await until(lambda: _is_due(redis_url))
        queue._next_upkeep = 0.0
        received = [one.body for _ in range(2) for one in await queue.receive(1, 5)]

    assert b"given back" in received


async def test_what_was_given_back_keeps_its_lane(redis_url: str) -> None:
    async with open_queue(redis_url, "one", visibility_s=600) as queue:
        await queue.send(b"async")
        await queue.send(b"sync", sync=True)
        for delay_s in (0.0, 0.01):
            for delivery in await queue.receive(2, 5):
                await queue.set_aside(delivery, delay_s)
            await until(lambda: _none_waits_for_its_time(redis_url))
            queue._next_upkeep = 0.0
        received = [one for _ in range(2) for one in await queue.receive(1, 5)]

        assert {(one.body, one.sync, one.receives) for one in received} == {(b"async", False, 1), (b"sync", True, 1)}
        for one in received:
            await queue.extend(one)
            await queue.delete(one)
        assert await queue.depth() == Depth(0, 0, 0, 0)


async def _none_waits_for_its_time(redis_url: str) -> bool:
    async with Redis.from_url(redis_url) as client:
        seconds, micros = await client.time()
        delayed = await client.zrange("queue:delayed", 0, -1, withscores=True)
        return all(seconds * 1000 + micros / 1000 > due_ms for _, due_ms in delayed)


async def _is_due(redis_url: str) -> bool:
    async with Redis.from_url(redis_url) as client:
        seconds, micros = await client.time()
        [(_, due_ms)] = await client.zrange("queue:delayed", 0, -1, withscores=True)
        return seconds * 1000 + micros / 1000 > due_ms
