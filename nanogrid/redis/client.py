"""Opens connections to Redis with bounded waits, sends commands together and maps failures to NanoGrid's errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from nanogrid.redis.connection import PipelinedConnection
from nanogrid.redis.replies import is_demoted, refuses_writes

log = logger()

_ANSWER_S = 5.0  # longest wait for an answer; blocking reads are shorter
_CONNECTIONS = 64  # per process; further callers wait for one


class _LeavesDemoted(AbstractConnection):
    """A connection that closes when its server is no longer the primary, so that the next one resolves the address."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read one reply. Errors as from redis-py."""
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as error:
            if is_demoted(error):
                await self.disconnect(nowait=True)
            raise


class _Plain(_LeavesDemoted, Connection):
    pass


class _Encrypted(_LeavesDemoted, SSLConnection):
    pass


class _Local(_LeavesDemoted, UnixDomainSocketConnection):
    pass


_CLASSES = {"rediss": _Encrypted, "unix": _Local}


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Redis]:
    """Yield a client, which connects lazily and reconnects by itself. Keys and values are bytes."""
    pool = BlockingConnectionPool.from_url(
        url,
        connection_class=_CLASSES.get(url.partition(":")[0], _Plain),
        max_connections=_CONNECTIONS,
        timeout=_ANSWER_S,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=2.0,
        health_check_interval=0,
        # Retries once, at once, over a new connection. A connection that died in the pool is only noticed when it is
        # used, and a server that is no longer the primary answers with an error and changes nothing.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError, ReadOnlyError, MasterDownError],
        protocol=2,
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


class _Translated:
    """Implements `translated`. A class, because every command uses it and a generator costs three times as much."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if isinstance(error, RedisConnectionError | RedisTimeoutError):
            raise UnavailableError(f"{self._what} cannot be reached; nothing was accepted, try again") from error
        if isinstance(error, ResponseError):
            if refuses_writes(error):
                raise UnavailableError(f"{self._what} does not take writes now; try again") from error
        elif isinstance(error, RedisError):
            raise UnavailableError(f"{self._what} failed; try again") from error


def translated(what: str) -> AbstractAsyncContextManager[None]:
    """Turn an outage of Redis into UnavailableError. Errors of our own commands pass unchanged."""
    return _Translated(what)


class SharedConnection:
    """One connection for all callers. Commands of one turn of the event loop are sent in one write.

    Commands keep their order but are not atomic together. Each caller gets the errors of its own command. A command
    that was sent is never sent again, because it may have run. When the connection is dead, a new one is opened. When
    the server is no longer the primary, the command did not run and is sent once more, over a new connection, because
    the address may lead to another server by then.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._link: PipelinedConnection | None = None
        self._opening: asyncio.Task[PipelinedConnection] | None = None

    async def run(self, *command: Any) -> Any:
        """Run one command and return the unparsed reply. RedisError as from redis-py."""
        link = self._link
        if link is None or not link.alive:
            link = await self._opened()
        try:
            return await link.ask(*command)
        except ResponseError as error:
            if not is_demoted(error):
                raise
            await self._leave(link, error)
        return await (await self._opened()).ask(*command)

    def hang_up(self) -> None:
        """Close the connection. Pending commands fail. The next command opens a new one."""
        if self._link is not None:
            self._link.drop(RedisConnectionError("hung up"))

    async def _leave(self, link: PipelinedConnection, why: ResponseError) -> None:
        """Close the connection to a server that is no longer the primary, and all idle ones to it."""
        if link.alive:
            log.warning("redis is no primary any more; connecting anew", error=str(why))
            link.drop(RedisConnectionError(str(why)))
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _opened(self) -> PipelinedConnection:
        """Return a new connection. Concurrent callers wait for the same one."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="redis link")
            self._opening.add_done_callback(self._when_opened)
        return await asyncio.shield(self._opening)

    async def _open(self) -> PipelinedConnection:
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()
        self._link = await PipelinedConnection.open(self._client)
        return self._link

    def _when_opened(self, opening: "asyncio.Task[PipelinedConnection]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # waiting callers get it; asyncio would log it if there were none


class Script:
    """A Lua script on one key, loaded whenever Redis does not know it."""

    def __init__(self, client: Redis, together: SharedConnection, text: str) -> None:
        self._together = together
        self._text = text
        self._sha: str = client.register_script(text).sha

    async def __call__(self, key: str, args: list[Any]) -> Any:
        """Run the script. RedisError as from redis-py."""
        try:
            return await self._together.run("EVALSHA", self._sha, 1, key, *args)
        except NoScriptError:
            return await self._together.run("EVAL", self._text, 1, key, *args)  # this also loads it
