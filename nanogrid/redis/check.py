"""Checks that a Redis server can hold jobs: its version, password, permissions and eviction policy."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nanogrid.errors import StartError, UnavailableError

__all__ = ["UnusableRedisError", "check_eviction", "check_redis", "require_usable"]

_ANSWER_S = 4.0  # for the whole check, so that a grid that cannot start says so soon
_KEY = "nanogrid:check"
_KEPT_S = 60
_GROUP = "check"
_OLDEST = (6, 2)  # the first version with XAUTOCLAIM and EXAT


class UnusableRedisError(StartError):
    """The server answers, but would lose or refuse jobs. The message names the reason and the cure."""


async def check_redis(url: str, *, may_evict: bool) -> None:
    """Check the server at `url`. UnusableRedisError names what is missing. UnavailableError when it is down.

    `may_evict` accepts a server that evicts keys when it is full.
    """
    try:
        async with asyncio.timeout(_ANSWER_S), Redis.from_url(url, protocol=2, retry=None) as client:
            await _check_version(client)
            await _check_rights(client)
            if not may_evict:
                await check_eviction(client)
    except AuthenticationError as error:
        raise UnusableRedisError(f"Redis refuses the user or password of its URL: {error}") from None
    except (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError) as error:
        raise UnavailableError(f"Redis cannot be reached: {error or 'no answer'}") from None
    except ResponseError as error:
        raise UnusableRedisError(f"Redis cannot be used: {error}") from None


async def require_usable(url: str, *, may_evict: bool) -> None:
    """Check the server like `check_redis`, unless it is down, because a grid may start before its Redis."""
    with contextlib.suppress(UnavailableError):
        await check_redis(url, may_evict=may_evict)


async def check_eviction(client: Redis) -> None:
    """Raise UnusableRedisError when a full server evicts keys without an expiry, such as those of accepted jobs."""
    policy = await _policy(client)
    if policy.startswith("allkeys-"):
        raise UnusableRedisError(
            f"Redis has maxmemory-policy {policy}: once it is full it forgets accepted jobs. Set it to noeviction "
            "(`redis-cli config set maxmemory-policy noeviction`), or NANOGRID_REDIS_MAY_EVICT=1 to run all the same"
        )


async def _policy(client: Redis) -> str:
    try:
        told: Mapping[str, Any] = await client.info("memory")
    except NoPermissionError:
        return ""  # jobs do not need this command, so its permission is not required
    return str(told.get("maxmemory_policy", ""))


async def _check_version(client: Redis) -> None:
    try:
        told = await client.info("server")
    except NoPermissionError:
        return
    version = str(told.get("redis_version", ""))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < _OLDEST:
        raise UnusableRedisError(f"Redis {version} is too old; use 6.2 or newer")


async def _check_rights(client: Redis) -> None:
    """Run one command of each kind that the job store and the queue use, on a key and a channel made for it."""
    stream = f"{_KEY}:stream"
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.hset(_KEY, "a", "1"),
        lambda: client.hmget(_KEY, ["a"]),
        lambda: client.hgetall(_KEY),
        lambda: client.expire(_KEY, _KEPT_S),
        lambda: client.eval("redis.call('HINCRBY', KEYS[1], 'n', 1) return redis.call('TIME')", 1, _KEY),
        lambda: client.script_load("return 1"),
        lambda: client.zadd(f"{_KEY}:set", {"a": 1}),
        lambda: client.zrange(f"{_KEY}:set", 0, -1),
        lambda: client.sadd(f"{_KEY}:members", "a"),
        lambda: client.xadd(stream, {"b": "1"}),
        lambda: client.xgroup_create(stream, _GROUP, id="0"),
        lambda: client.xreadgroup(_GROUP, "check", {stream: ">"}, count=1),
        lambda: client.xautoclaim(stream, _GROUP, "check", 1000),
        lambda: client.xpending(stream, _GROUP),
        lambda: client.xack(stream, _GROUP, "0-1"),
        lambda: client.xdel(stream, "0-1"),
        lambda: client.publish("result:check", "1"),
        lambda: client.publish("jobs:events", "1"),
        lambda: _subscribe(client),
        lambda: client.delete(_KEY, stream, f"{_KEY}:set", f"{_KEY}:members"),
    ]
    missing: dict[str, None] = {}
    for step in steps:
        try:
            await step()
        except NoPermissionError as error:
            missing[_reason(error)] = None
        except ResponseError as error:
            if not str(error).startswith(("BUSYGROUP", "NOGROUP")):  # these follow from an earlier refused step
                raise
    if missing:
        raise UnusableRedisError(
            f"Redis does not give its user all the rights that NanoGrid needs: {'; '.join(missing)}. "
            "It needs `~* &* +@all -@dangerous +info`, see docs/aws.md"
        )


async def _subscribe(client: Redis) -> None:
    async with client.pubsub() as inbox:
        await inbox.subscribe("inbox:check")
        await inbox.get_message(timeout=1)


def _reason(error: RedisError) -> str:
    return str(error).removeprefix("NOPERM ").removeprefix("this user has ").strip()
