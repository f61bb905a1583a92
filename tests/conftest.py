"""Fixtures every test folder may use."""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from redis.asyncio import Redis
from xdist.scheduler import LoadScopeScheduling

from nanogrid import logs
from support.long_call import LONG_CALL
from support.moto_server import MotoServer, moto_server
from support.redis_server import RedisServer, redis_server
from support.sqs_server import SqsServer, sqs_server

_FAMILY = re.compile(r"\[(?:.*-)?(embedded|aws)(?:-.*)?\]$", re.DOTALL)

settings.register_profile("grid", deadline=None)  # a slow machine is no failure
settings.load_profile("grid")
logs.configure("test")  # once and for all tests: a test reads the log with structlog's `capture_logs`


class _ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """Gives a worker whole files, or all tests of a shared grid. (xdist's own groups are ignored with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return _family(nodeid) or path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByGroup:
    return _ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the shared grids last, because a running one takes a good part of a processor.

    The long call is last, too, but first where other workers go on meanwhile.
    """
    items.sort(key=_with_workers if os.environ.get("PYTEST_XDIST_WORKER") else _alone)


def _with_workers(item: pytest.Item) -> tuple[bool, ...]:
    return item.name != LONG_CALL, bool(_family(item.nodeid)), "e2e" not in item.path.parts, "unit" in item.path.parts


def _alone(item: pytest.Item) -> tuple[bool, ...]:
    return item.name == LONG_CALL, bool(_family(item.nodeid))


def _family(nodeid: str) -> str:
    """Return the backends of the shared grid that a test runs on, "" for none."""
    path, _, name = nodeid.partition("::")
    found = _FAMILY.search(name) if "e2e/" in path else None
    return found[1] if found else ""


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
