"""Opens connections to Redis with bounded waits, sends commands together, and maps failures to our errors."""

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

_ANSWER_S = 5.0  # longest wait for an answer; blocking reads wait less than this
_CONNECTIONS = 64  # per process; a caller beyond it waits its turn


class _LeavesDemoted(AbstractConnection):
    """A connection that closes once its server is no primary any more: the next one resolves the address anew."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read one reply. Errors as from the class below."""
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
    """Yield a client. It connects lazily and again by itself. Keys and values are bytes."""
    pool = BlockingConnectionPool.from_url(
        url,
        connection_class=_CLASSES.get(url.partition(":")[0], _Plain),
        max_connections=_CONNECTIONS,
        timeout=_ANSWER_S,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=2.0,
        health_check_interval=0,
        # One more try at once, over a new connection: one that died while it lay in the pool is found out only by using
        # it, and one to a server that is no primary any more is answered with an error that changed nothing.
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
    """A class, because a generator's context costs three times as much and every command passes one."""

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
    """Turn an outage of Redis into UnavailableError. Our own mistakes pass unchanged."""
    return _Translated(what)


class SharedConnection:
    """One connection for the commands of all callers, which leave one turn of the event loop in one piece.

    Commands keep their order but are not atomic together. Errors go to their own caller. A command that was sent is
    never sent again: it may have run. One that finds the connection dead goes out over a new one. So does, once, one
    that a server answers which is no primary any more: it did not run, and the address may lead elsewhere by now.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._link: PipelinedConnection | None = None
        self._opening: asyncio.Task[PipelinedConnection] | None = None

    async def run(self, *command: Any) -> Any:
        """Run one command and return the reply, unparsed. RedisError as from the client itself."""
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
        """End the connection, with every command on it. Pending commands fail. The next one connects anew."""
        if self._link is not None:
            self._link.drop(RedisConnectionError("hung up"))

    async def _leave(self, link: PipelinedConnection, why: ResponseError) -> None:
        """Give up a server that is no primary any more, with every idle connection to it."""
        if link.alive:
            log.warning("redis is no primary any more; connecting anew", error=str(why))
            link.drop(RedisConnectionError(str(why)))
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _opened(self) -> PipelinedConnection:
        """Return a live connection. Concurrent callers wait for the same one."""
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
            opening.exception()  # it is told to whoever waits; nobody may


class Script:
    """A Lua script on one key, loaded when Redis does not know it (any more)."""

    def __init__(self, client: Redis, together: SharedConnection, text: str) -> None:
        self._together = together
        self._text = text
        self._sha: str = client.register_script(text).sha

    async def __call__(self, key: str, args: list[Any]) -> Any:
        """Run it. RedisError as from the client itself."""
        try:
            return await self._together.run("EVALSHA", self._sha, 1, key, *args)
        except NoScriptError:
            return await self._together.run("EVAL", self._text, 1, key, *args)  # Redis knows it from then on
