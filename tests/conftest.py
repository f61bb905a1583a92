"""Fixtures every test folder may use."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from nanogrid import logs
from support.long_call import LONG_CALL
from support.moto_server import MotoServer, moto_server
from support.redis_server import RedisServer, redis_server
from support.sqs_server import SqsServer, sqs_server

settings.register_profile("grid", deadline=None)  # a slow machine is no failure
settings.load_profile("grid")
logs.configure("test")  # once and for all tests: a test reads the log with structlog's `capture_logs`


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker whole files, and one all tests of a shared grid.

    The shared grids come last, because a running one takes a good part of a processor. The long call comes first where
    other workers go on meanwhile.
    """
    items.sort(key=_with_workers if os.environ.get("PYTEST_XDIST_WORKER") else _alone)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_family(item) or item.path.name))


def _with_workers(item: pytest.Item) -> tuple[bool, ...]:
    return item.name != LONG_CALL, bool(_family(item)), "e2e" not in item.path.parts, "unit" in item.path.parts


def _alone(item: pytest.Item) -> tuple[bool, ...]:
    return item.name == LONG_CALL, bool(_family(item))


def _family(item: pytest.Item) -> str:
    """Return the backends of the shared grid that a test runs on, "" for none."""
    return str(item.callspec.params.get("grid", "")) if hasattr(item, "callspec") else ""


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


@pytest.fixture(scope="session")
def shared_moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def aws(shared_moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> MotoServer:
    """An empty AWS, and the environment in which every AWS client of this process finds it."""
    shared_moto.reset()
    for name, value in shared_moto.env.items():
        monkeypatch.setenv(name, value)
    return shared_moto


@pytest.fixture(scope="session")
def shared_sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqsServer]:
    with sqs_server(tmp_path_factory.mktemp("sqs")) as server:
        yield server


@pytest.fixture
def sqs(shared_sqs: SqsServer, monkeypatch: pytest.MonkeyPatch) -> SqsServer:
    """An SQS without queues that behaves, and the environment in which SQS clients of this process find it."""
    shared_sqs.reset()
    for name, value in shared_sqs.env.items():
        monkeypatch.setenv(name, value)
    return shared_sqs
