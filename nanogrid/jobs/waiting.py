"""One inbox a process: a pub/sub channel on which the ends of the jobs it waits for arrive."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.jobs import FINAL_STATES, record
from nanogrid.logs import logger
from nanogrid.redis.connection import RawConnection
from nanogrid.v1.resources_pb2 import Job

log = logger()

_SUBSCRIBE_S = 5.0  # longest wait for Redis to confirm the subscription
_FIRST_POLL_S, _LAST_POLL_S = 0.25, 15.0  # the record is asked again after this, doubling: news can be missed
_RECONNECT_S = 0.2
_PING_S, _SILENCE_S = 2.0, 5.0  # how often a subscribed server is asked for a word, and how long it may be silent

ReadJob = Callable[[str], Awaitable[Job]]


class _Inbox(RawConnection):
    """A subscribed connection."""

    def __init__(self, client: Redis, connection: AbstractConnection) -> None:
        super().__init__(client, connection)
        self.told: Callable[[Any], None] = lambda _: None
        self._lost = asyncio.get_running_loop().create_future()

    def take(self, reply: Any) -> None:
        if isinstance(reply, Exception):  # to SUBSCRIBE or PING: without the one or the other it is of no use
            self.drop(reply)
        else:
            self.told(reply)

    def lose(self, why: Exception) -> None:
        self._lost.set_result(why)

    async def listen(self, channel: str) -> None:
        """Subscribe, and raise RedisError once the connection is lost."""
        self.send("SUBSCRIBE", channel)
        while True:
            done, _ = await asyncio.wait([self._lost], timeout=_PING_S)
            if done:
                raise self._lost.result()
            if asyncio.get_running_loop().time() - self.heard_at > _SILENCE_S:
                self.drop(RedisTimeoutError(f"no word for {_SILENCE_S:g} s"))
            else:
                self.send("PING")


class ResultInbox:
    """Hands each end that arrives in the inbox to its waiter. One subscription serves all, so a call costs none.

    Waiters are also woken, to look for themselves, whenever the connection was lost and made again.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._inbox = f"inbox:{secrets.token_hex(8)}"
        self._waiters: dict[str, _Waiter] = {}
        self._subscribed = asyncio.Event()
        self._refusal = ""  # Redis' words, while it refuses to subscribe us
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read(), name="job news")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._reader is not None
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def inbox_for(self, job_id: str) -> str:
        """Return the inbox for the end of this job: ours while a caller waits here, else ""."""
        return self._inbox if job_id in self._waiters else ""

    def waiting(self, job_id: str, read: ReadJob) -> "_Waiter":
        """Wait for one job. Enter before it is created. UnavailableError when Redis does not confirm the inbox."""
        return _Waiter(self, job_id, read)

    async def add(self, waiter: "_Waiter") -> None:
        """Bring the end of its job to the waiter from now on."""
        if not self._subscribed.is_set():
            await self._until_subscribed()
        self._waiters[waiter.job_id] = waiter

    def remove(self, waiter: "_Waiter") -> None:
        """Forget a waiter."""
        del self._waiters[waiter.job_id]

    async def _until_subscribed(self) -> None:
        try:
            async with asyncio.timeout(_SUBSCRIBE_S):
                await self._subscribed.wait()
        except TimeoutError:
            told = "refuses the subscription to results, see the log" if self._refusal else "cannot be reached"
            raise UnavailableError(f"the job store {told}; nothing was accepted, try again") from None

    async def _read(self) -> None:
        while True:
            try:
                inbox = await _Inbox.open(self._client)
                try:
                    inbox.told = self._deliver
                    await inbox.listen(self._inbox)
                finally:
                    self._subscribed.clear()
                    await inbox.close()
            except (RedisError, OSError) as error:
                self._note(error)
                await asyncio.sleep(_RECONNECT_S)

    def _note(self, error: Exception) -> None:
        """Log an interruption, a refusal that goes on only once."""
        refusal = str(error) if isinstance(error, ResponseError) else ""
        if not refusal:
            log.warning("job news interrupted", error=str(error))
        elif refusal != self._refusal:
            log.error("redis refuses the subscription to results", error=refusal)
        self._refusal = refusal

    def _deliver(self, said: Any) -> None:
        match said:
            case [b"message", _, data]:
                self._bring(data)
            case [b"subscribe", *_]:
                self._refusal = ""
                self._subscribed.set()
                for waiter in self._waiters.values():
                    waiter.wake()

    def _bring(self, data: bytes) -> None:
        try:
            job = record.decode(data)
        except record.RecordError:
            log.exception("news that is no job's record")
            return
        if (waiter := self._waiters.get(job.job_id)) is not None:
            waiter.news = job
            waiter.wake()


class _Waiter:
    """See the port. A class with plain futures: an Event, a timeout's and a generator's context were 25 µs a call."""

    def __init__(self, inbox: ResultInbox, job_id: str, read: ReadJob) -> None:
        self.job_id = job_id
        self.news: Job | None = None
        self._inbox = inbox
        self._read = read
        self._woken = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        await self._inbox.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._inbox.remove(self)

    def wake(self) -> None:
        """Tell the waiter to look."""
        if not self._woken.done():
            self._woken.set_result(None)

    async def wait(self, timeout_s: float) -> Job | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        poll_s = _FIRST_POLL_S
        while True:
            timer = loop.call_later(max(0.0, min(poll_s, deadline - loop.time())), self.wake)
            try:
                await self._woken
            finally:
                timer.cancel()
            self._woken = loop.create_future()
            poll_s = min(2 * poll_s, _LAST_POLL_S)
            job = await self._look()
            if job is not None or loop.time() >= deadline:
                return job

    async def _look(self) -> Job | None:
        if self.news is not None:
            return self.news
        try:
            job = await self._read(self.job_id)
        except (UnavailableError, NotFoundError):
            return None  # Redis is away or was flushed; the job is still being run and will be recorded
        return job if job.state in FINAL_STATES else None
