"""Fixtures every test folder may use."""

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from support.redis_server import RedisServer, redis_server


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis_url(shared_redis: RedisServer) -> str:
    """An empty Redis."""
    async with Redis.from_url(shared_redis.url) as client:
        await client.flushall()
    return shared_redis.url
