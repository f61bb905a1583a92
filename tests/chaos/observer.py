"""Records every ending published on `result:*`, over a separate connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.audit import Ending, ending

_READ_S = 1.0
_AGAIN_S = 0.05


@asynccontextmanager
async def observing(url: str) -> AsyncIterator[list[tuple[str, Ending]]]:
    """Yield the growing list of endings. Endings published during an outage of Redis are missing."""
    seen: list[tuple[str, Ending]] = []
    subscribed = asyncio.Event()
    task = asyncio.create_task(_observe(url, seen, subscribed), name="observer")
    await subscribed.wait()
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _observe(url: str, seen: list[tuple[str, Ending]], subscribed: asyncio.Event) -> None:
    while True:
        try:
            async with Redis.from_url(url) as client, client.pubsub() as news:
                await news.psubscribe("result:*")
                while True:
                    message = await news.get_message(timeout=_READ_S)
                    if message and message["type"] == "psubscribe":
                        subscribed.set()
                    elif message:
                        seen.append(_read(message["data"]))
        except (RedisError, OSError):
            await asyncio.sleep(_AGAIN_S)


def _read(data: bytes) -> tuple[str, Ending]:
    record = json.loads(data)
    return record["job_id"], ending(record)
