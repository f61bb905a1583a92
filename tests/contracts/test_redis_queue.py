"""What only the Redis queue promises."""

from nanogrid.queue import open_queue


async def test_a_receiver_that_starts_again_under_its_name_gets_at_once_what_it_held(redis_url: str) -> None:
    async with open_queue(redis_url, "one", visibility_s=600) as crashed:
        await crashed.send(b"held")
        await crashed.receive(1, 5)

    async with open_queue(redis_url, "one", visibility_s=600) as again:
        [delivery] = await again.receive(1, 5)
        await again.extend(delivery)

    assert (delivery.body, delivery.receives) == (b"held", 2)
