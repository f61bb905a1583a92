"""Connections to Redis that all callers of a process share. See docs/decisions/0007."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Self, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_INCOMPLETE = object()  # the reply is not complete yet; None and False are replies


class RawConnection(asyncio.Protocol, ABC):
    """Sends commands without waiting and passes every reply to `take` in order. Errors are replies too.

    redis-py connects it (TLS, password, database) and its pool closes it, so it does not outlive its client.
    """

    def __init__(self, client: Redis, connection: AbstractConnection) -> None:
        """Take over the transport of a connection. Use `open`."""
        self._client = client
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE)
        self._outgoing: list[bytes] = []
        self._why: Exception | None = None
        self.alive = True
        self.heard_at = self._loop.time()  # time of the last bytes from the server
        writer = cast("asyncio.StreamWriter", connection._writer)  # noqa: SLF001 - redis-py has no public name for it
        self._transport = cast("asyncio.Transport", writer.transport)
        self._stream = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, client: Redis) -> Self:
        """Open a connection. RedisError as from redis-py."""
        return cls(client, await client.connection_pool.get_connection())

    async def close(self) -> None:
        """Close the connection and return its place to the client's pool. Call it once."""
        self.drop(RedisConnectionError("the connection was closed here"))
        await self._connection.disconnect(nowait=True)
        await self._client.connection_pool.release(self._connection)

    def send(self, *command: Any) -> None:
        """Send one command. Those of one turn of the loop share a write, which costs more than a command."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self.alive:
            self._transport.writelines(outgoing)

    def drop(self, why: Exception) -> None:
        """Abort the connection because of `why`. `lose` follows. Idempotent."""
        if self.alive:
            self.alive = False
            self._why = why
            self._transport.abort()

    @abstractmethod
    def take(self, reply: Any) -> None:
        """Handle a reply. Must not block."""

    @abstractmethod
    def lose(self, why: Exception) -> None:
        """Handle the end of the connection. Called once, after the last reply."""

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._reader.feed(data)
        try:
            while self.alive and (reply := self._reader.gets()) is not _INCOMPLETE:
                self.take(reply)
        except hiredis.ProtocolError as error:
            self.drop(RedisConnectionError(f"the server does not speak Redis: {error}"))

    def eof_received(self) -> None:
        self.alive = False  # set at once, so that no command is written to a closing connection

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self._stream.connection_lost(exc)  # redis-py waits for it when it closes
        self.lose(self._why or RedisConnectionError(f"the connection ended: {exc or 'closed by the server'}"))


class PipelinedConnection(RawConnection):
    """Matches replies to commands in order. Pending commands fail with TimeoutError after `silence_s` of silence."""

    silence_s = 5.0  # the longest silence of a server that owes a reply

    def __init__(self, client: Redis, connection: AbstractConnection) -> None:
        super().__init__(client, connection)
        self._open: deque[asyncio.Future[Any]] = deque()
        self._asked_at = 0.0  # when a command was last sent while no other was pending
        self._watch: asyncio.TimerHandle | None = None  # shared, because a timer for each command costs 10 % of it

    def ask(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command and return a future of its reply, safe to cancel. RedisError as from redis-py."""
        if not self.alive:
            raise RedisConnectionError("the connection has ended")
        answer = self._loop.create_future()
        self.send(*command)
        if not self._open:
            self._asked_at = self._loop.time()
            if self._watch is None:
                self._watch = self._loop.call_later(self.silence_s, self._look)
        self._open.append(answer)
        return answer

    def take(self, reply: Any) -> None:
        answer = self._open.popleft()
        if answer.done():
            return  # its caller was cancelled
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def lose(self, why: Exception) -> None:
        if self._watch is not None:
            self._watch.cancel()
        while self._open:
            if not (answer := self._open.popleft()).done():
                answer.set_exception(type(why)(*why.args))  # a copy each, because raising extends its traceback

    def _look(self) -> None:
        self._watch = None
        if not self._open:
            return
        left_s = max(self.heard_at, self._asked_at) + self.silence_s - self._loop.time()
        if left_s <= 0:
            self.drop(RedisTimeoutError(f"no answer for {self.silence_s:g} s"))
        else:
            self._watch = self._loop.call_later(left_s, self._look)
