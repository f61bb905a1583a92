"""How every process connects to Redis: bounded waits, and outages told in our own words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nanogrid.errors import UnavailableError

_ANSWER_S = 5.0  # longest wait for an answer; blocking reads wait less than this
_CONNECTIONS = 64  # per process; a caller beyond it waits its turn


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Redis]:
    """Yield a client. It connects lazily and again by itself; keys and values are bytes."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_ANSWER_S,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=2.0,
        health_check_interval=0,
        # One more try at once: a connection that died while it lay in the pool is found out only by using it.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        protocol=2,
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


@asynccontextmanager
async def translated(what: str) -> AsyncIterator[None]:
    """Turn an outage of Redis into UnavailableError; a mistake of ours stays what it is."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise UnavailableError(f"{what} cannot be reached; nothing was accepted, try again") from error
    except ResponseError as error:
        if str(error).startswith(("LOADING", "READONLY", "MASTERDOWN", "OOM", "MISCONF")):
            raise UnavailableError(f"{what} does not take writes now; try again") from error
        raise
    except RedisError as error:
        raise UnavailableError(f"{what} failed; try again") from error
