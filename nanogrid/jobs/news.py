"""One pub/sub connection a process, shared by everyone who waits for a job's end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.jobs import FINAL_STATES, record
from nanogrid.logs import logger
from nanogrid.v1.resources_pb2 import Job

log = logger()

_SUBSCRIBE_S = 5.0  # longest wait for Redis to confirm a subscription
_FIRST_POLL_S, _LAST_POLL_S = 1.0, 15.0  # the record is asked again after this, doubling: news can be missed
_RECONNECT_S = 0.2
_READ_S = 2.0  # below the connection's own time limit, so that silence is no fault
_IDLE_CHANNEL = "result:"  # keeps the connection subscribed while nobody waits; no job has an empty id

ReadJob = Callable[[str], Awaitable[Job]]


class News:
    """Hands each published result to its waiter.

    A waiter is also woken, to look for itself, whenever the connection was lost and made again.
    """

    def __init__(self, client: Redis) -> None:
        self._pubsub = client.pubsub()
        self._waiters: dict[bytes, _Waiter] = {}
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
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def waiting(self, job_id: str, read: ReadJob) -> AsyncIterator["_Waiter"]:
        """Subscribe to `result:{job_id}`; UnavailableError when Redis does not confirm."""
        channel = f"result:{job_id}".encode()
        waiter = self._waiters[channel] = _Waiter(job_id, read)
        try:
            try:
                await self._pubsub.subscribe(channel)
                async with asyncio.timeout(_SUBSCRIBE_S):
                    await waiter.subscribed.wait()
            except (RedisError, OSError, TimeoutError) as error:
                raise UnavailableError("the job store cannot be reached; nothing was accepted, try again") from error
            yield waiter
        finally:
            del self._waiters[channel]
            await self._unsubscribe(channel)

    async def _unsubscribe(self, channel: bytes) -> None:
        try:
            await self._pubsub.unsubscribe(channel)
        except (RedisError, OSError):
            log.info("unsubscribing failed; the connection is made anew", channel=channel.decode())

    async def _read(self) -> None:
        while True:
            try:
                await self._pubsub.subscribe(_IDLE_CHANNEL)
                while True:
                    message = await self._pubsub.get_message(timeout=_READ_S)
                    if message:
                        self._deliver(message)
            except (RedisError, OSError) as error:
                log.warning("job news interrupted", error=str(error))
                await asyncio.sleep(_RECONNECT_S)

    def _deliver(self, message: dict[str, Any]) -> None:
        waiter = self._waiters.get(message["channel"])
        if waiter is None:
            return
        if message["type"] == "subscribe":
            waiter.subscribed.set()
            waiter.woken.set()
        elif message["type"] == "message":
            waiter.news = message["data"]
            waiter.woken.set()


class _Waiter:
    """See the port."""

    def __init__(self, job_id: str, read: ReadJob) -> None:
        self._job_id = job_id
        self._read = read
        self.subscribed = asyncio.Event()
        self.woken = asyncio.Event()
        self.news: bytes | None = None

    async def wait(self, timeout_s: float) -> Job | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        poll_s = _FIRST_POLL_S
        if self.news is None:
            self.woken.clear()  # only the confirmed subscription woke it so far
        while True:
            left_s = deadline - loop.time()
            try:
                # Not wait_for: Python 3.11's swallows a cancellation that meets the event.
                async with asyncio.timeout(max(0.0, min(poll_s, left_s))):
                    await self.woken.wait()
            except TimeoutError:
                poll_s = min(2 * poll_s, _LAST_POLL_S)
            self.woken.clear()
            job = await self._look()
            if job is not None or loop.time() >= deadline:
                return job

    async def _look(self) -> Job | None:
        if self.news is not None:
            return record.decode(self.news)
        try:
            job = await self._read(self._job_id)
        except (UnavailableError, NotFoundError):
            return None  # Redis is away or was flushed; the job is still being run and will be recorded
        return job if job.state in FINAL_STATES else None
