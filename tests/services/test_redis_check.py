"""A Redis server that cannot keep jobs is refused at start, with what is wrong and the cure."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from nanogrid.errors import StartError, UnavailableError
from nanogrid.jobs import open_jobs
from nanogrid.redis.check import UnusableRedisError, check_redis
from services.invoker.store_watch import StoreWatch
from support.redis_server import RedisServer, free_port, redis_server
from support.waiting import WATCHDOG_S

RIGHTS = "~* &* +@all -@dangerous +info"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


def as_user(server: RedisServer, rights: str, password: str = "secret") -> str:
    """The URL of a user with these rights."""
    with Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "grid", "reset", "on", ">secret", *rights.split())
    return f"redis://grid:{password}@127.0.0.1:{server.port}/0"


async def test_a_plain_server_and_the_documented_rights_will_do(server: RedisServer) -> None:
    await check_redis(server.url, may_evict=False)
    await check_redis(as_user(server, RIGHTS), may_evict=False)

    with Redis.from_url(server.url) as redis:
        assert redis.keys("*") == []  # nothing of the check is left


@pytest.mark.parametrize(
    ("rights", "named"),
    [
        ("~* +@all -@dangerous +info", "channel"),
        ("~* &jobs:* &result:* +@all", "channel"),
        ("~* &* +@all -publish", "publish"),
        ("~* &* +@all -@scripting", "eval"),
        ("~* &* +@all -xautoclaim", "xautoclaim"),
        ("~job:* &* +@all", "keys"),
    ],
)
async def test_missing_rights_are_named(server: RedisServer, rights: str, named: str) -> None:
    with pytest.raises(UnusableRedisError, match="rights") as refused:
        await check_redis(as_user(server, rights), may_evict=False)

    assert named in str(refused.value)
    assert "+@all -@dangerous" in str(refused.value)


async def test_a_wrong_password_is_told_from_an_outage(server: RedisServer) -> None:
    with pytest.raises(UnusableRedisError, match="password"):
        await check_redis(as_user(server, RIGHTS, password="wrong"), may_evict=False)
    with pytest.raises(UnavailableError):
        await check_redis(f"redis://127.0.0.1:{free_port()}/0", may_evict=False)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_a_server_that_evicts_jobs_is_refused_unless_it_is_wanted(server: RedisServer, policy: str) -> None:
    with Redis.from_url(server.url) as redis:
        redis.config_set("maxmemory-policy", policy)

    with pytest.raises(UnusableRedisError, match=f"{policy}.*noeviction.*NANOGRID_REDIS_MAY_EVICT"):
        await check_redis(server.url, may_evict=False)
    await check_redis(server.url, may_evict=True)


async def test_a_policy_that_changes_later_stops_jobs_from_being_accepted(server: RedisServer) -> None:
    async def check() -> None:
        await check_redis(server.url, may_evict=False)

    watch = StoreWatch(check, 0.05)
    await watch.look()
    watch.require_safe()
    with Redis.from_url(server.url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lfu")
        await watch.look()
        with pytest.raises(UnavailableError, match="nothing was accepted"):
            watch.require_safe()
        redis.config_set("maxmemory-policy", "noeviction")
    await watch.look()
    watch.require_safe()


async def test_a_refused_subscription_is_told_with_the_servers_words(server: RedisServer) -> None:
    with capture_logs() as logs:
        async with open_jobs(as_user(server, "~* +@all")) as jobs:
            with pytest.raises(UnavailableError, match="refuses the subscription"):
                async with jobs.waiting("job-1"):
                    pass

    refused = [event for event in logs if event["event"] == "redis refuses the subscription to results"]
    assert len(refused) == 1
    assert "channel" in refused[0]["error"]


@pytest.mark.parametrize("module", ["services", "services.invoker", "services.executor"])
def test_whatever_is_started_on_such_a_server_says_so_and_ends(
    server: RedisServer, tmp_path: Path, module: str
) -> None:
    started = subprocess.run(
        [sys.executable, "-m", module],
        env={
            "PATH": "/usr/bin:/bin",
            "NANOGRID_DATA_DIR": str(tmp_path / "grid"),
            "NANOGRID_REDIS_URL": as_user(server, RIGHTS, password="wrong"),
            "NANOGRID_EXECUTOR_SANDBOX_URL": "process:",
            "NANOGRID_GATEWAY_LISTEN": "127.0.0.1:0",
        },
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
        check=False,
    )

    assert started.returncode == 1, started
    assert "password" in started.stderr
    assert "Traceback" not in started.stderr


def test_what_cannot_be_used_is_no_reason_to_start_again_and_again() -> None:
    assert issubclass(UnusableRedisError, StartError)
