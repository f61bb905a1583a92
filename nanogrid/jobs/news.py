"""One inbox a process: a pub/sub channel on which the ends of the jobs it waits for arrive."""

import asyncio
import secrets
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

_SUBSCRIBE_S = 5.0  # longest wait for Redis to confirm the subscription
_FIRST_POLL_S, _LAST_POLL_S = 0.25, 15.0  # the record is asked again after this, doubling: news can be missed
_RECONNECT_S = 0.2
_READ_S = 2.0  # below the connection's own time limit, so that silence is no fault

ReadJob = Callable[[str], Awaitable[Job]]


class News:
    """Hands each end that arrives in the inbox to its waiter. One subscription serves all, so a call costs none.

    Waiters are also woken, to look for themselves, whenever the connection was lost and made again.
    """

    def __init__(self, client: Redis) -> None:
        self._pubsub = client.pubsub()
        self._inbox = f"inbox:{secrets.token_hex(8)}"
        self._waiters: dict[str, _Waiter] = {}
        self._subscribed = asyncio.Event()
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

    def inbox_for(self, job_id: str) -> str:
        """Where the end of this job should be sent: our inbox if somebody here waits for it, else "" for nowhere."""
        return self._inbox if job_id in self._waiters else ""

    @asynccontextmanager
    async def waiting(self, job_id: str, read: ReadJob) -> AsyncIterator["_Waiter"]:
        """Wait for one job; enter before it is created. UnavailableError when Redis does not confirm the inbox."""
        waiter = self._waiters[job_id] = _Waiter(job_id, read)
        try:
            if not self._subscribed.is_set():
                await self._until_subscribed()
            yield waiter
        finally:
            del self._waiters[job_id]

    async def _until_subscribed(self) -> None:
        try:
            async with asyncio.timeout(_SUBSCRIBE_S):
                await self._subscribed.wait()
        except TimeoutError:
            raise UnavailableError("the job store cannot be reached; nothing was accepted, try again") from None

    async def _read(self) -> None:
        while True:
            try:
                await self._pubsub.subscribe(self._inbox)
                while True:
                    message = await self._pubsub.get_message(timeout=_READ_S)
                    if message:
                        self._deliver(message)
            except (RedisError, OSError) as error:
                self._subscribed.clear()
                log.warning("job news interrupted", error=str(error))
                await asyncio.sleep(_RECONNECT_S)

    def _deliver(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._subscribed.set()
            for waiter in self._waiters.values():
                waiter.woken.set()
        elif message["type"] == "message":
            job = record.decode(message["data"])
            if (waiter := self._waiters.get(job.job_id)) is not None:
                waiter.news = job
                waiter.woken.set()


class _Waiter:
    """See the port."""

    def __init__(self, job_id: str, read: ReadJob) -> None:
        self._job_id = job_id
        self._read = read
        self.woken = asyncio.Event()
        self.news: Job | None = None

    async def wait(self, timeout_s: float) -> Job | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        poll_s = _FIRST_POLL_S
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
            return self.news
        try:
            job = await self._read(self._job_id)
        except (UnavailableError, NotFoundError):
            return None  # Redis is away or was flushed; the job is still being run and will be recorded
        return job if job.state in FINAL_STATES else None
