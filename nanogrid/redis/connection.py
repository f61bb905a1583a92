"""One connection to Redis shared by all callers of a process. See docs/decisions/0007."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Self, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_INCOMPLETE = object()  # "the rest has not come yet"; None and False are replies


class RawConnection(asyncio.Protocol, ABC):
    """Sends commands without waiting, and hands every reply to `take` in order. Errors are replies too.

    redis-py connects it (TLS, password, database) and its pool closes it: a link does not outlive its client.
    """

    def __init__(self, client: Redis, connection: AbstractConnection) -> None:
        """Take over the connection's transport. `open` makes both."""
        self._client = client
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE)
        self._outgoing: list[bytes] = []
        self._why: Exception | None = None
        self.alive = True
        self.heard_at = self._loop.time()  # when the server last said anything
        writer = cast("asyncio.StreamWriter", connection._writer)  # noqa: SLF001 - redis-py has no word for it
        self._transport = cast("asyncio.Transport", writer.transport)
        self._stream = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, client: Redis) -> Self:
        """Connect. RedisError as from the client itself."""
        return cls(client, await client.connection_pool.get_connection())

    async def close(self) -> None:
        """Close, and give the place in the client's pool back. Once."""
        self.drop(RedisConnectionError("the connection was closed here"))
        await self._connection.disconnect(nowait=True)
        await self._client.connection_pool.release(self._connection)

    def send(self, *command: Any) -> None:
        """Send one command, together with all commands of this turn of the loop: a write costs more than a command."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self.alive:
            self._transport.writelines(outgoing)

    def drop(self, why: Exception) -> None:
        """Give up on the server. `lose` follows. Idempotent."""
        if self.alive:
            self.alive = False
            self._why = why
            self._transport.abort()

    @abstractmethod
    def take(self, reply: Any) -> None:
        """Take a reply. Must not block."""

    @abstractmethod
    def lose(self, why: Exception) -> None:
        """End, called once, when no more replies will come."""

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._reader.feed(data)
        try:
            while self.alive and (reply := self._reader.gets()) is not _INCOMPLETE:
                self.take(reply)
        except hiredis.ProtocolError as error:
            self.drop(RedisConnectionError(f"the server does not speak Redis: {error}"))

    def eof_received(self) -> None:
        self.alive = False  # at once, so that nobody writes into a connection that is about to end

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self._stream.connection_lost(exc)  # redis-py waits for it when it closes
        self.lose(self._why or RedisConnectionError(f"the connection ended: {exc or 'closed by the server'}"))


class PipelinedConnection(RawConnection):
    """Each reply answers the oldest question. When the server falls silent, all questions time out at once."""

    silence_s = 5.0  # a server that owes an answer and says nothing for this long is given up

    def __init__(self, client: Redis, connection: AbstractConnection) -> None:
        super().__init__(client, connection)
        self._open: deque[asyncio.Future[Any]] = deque()
        self._asked_at = 0.0  # when the first of the open questions was asked, nothing else being open
        self._watch: asyncio.TimerHandle | None = None  # one for all: a timer each would cost a tenth of a question

    def ask(self, *command: Any) -> asyncio.Future[Any]:
        """Return the reply to come. RedisError as from the client itself. Cancelling it disturbs no other caller."""
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
            return  # whoever asked was cancelled
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def lose(self, why: Exception) -> None:
        if self._watch is not None:
            self._watch.cancel()
        while self._open:
            if not (answer := self._open.popleft()).done():
                answer.set_exception(type(why)(*why.args))  # one each: raising adds to an exception's traceback

    def _look(self) -> None:
        self._watch = None
        if not self._open:
            return
        left_s = max(self.heard_at, self._asked_at) + self.silence_s - self._loop.time()
        if left_s <= 0:
            self.drop(RedisTimeoutError(f"no answer for {self.silence_s:g} s"))
        else:
            self._watch = self._loop.call_later(left_s, self._look)
