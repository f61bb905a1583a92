"""Ends jobs in one order: records and publishes the outcome, stores it durably, then deletes the message."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore, record
from nanogrid.logs import logger
from nanogrid.outages import until_available
from nanogrid.queue import Delivery, ReceiptLostError, TaskQueue
from nanogrid.v1.artifacts_pb2 import FinishedRecord
from nanogrid.v1.resources_pb2 import Job
from services.executor.delivery.durable import ResultKeeper
from services.executor.delivery.lease import Heartbeat
from services.executor.delivery.news import ResultNews

log = logger()

_RETRY_S = 0.5  # between tries while a backend is down
_CROWD = 500  # unfinished endings above which no new jobs are begun

Say = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job at its end, with its delivery. `buried` is the reason to dead-letter the message, "" to delete it."""

    delivery: Delivery
    job: Job
    payload_kept: bool
    buried: str = ""


class Ending:
    """Ends jobs. Safe to use concurrently.

    Work after the answer runs in background tasks. If the executor dies, the next receiver of the message does it.
    """

    def __init__(
        self,
        jobs: JobStore,
        queue: TaskQueue,
        heartbeat: Heartbeat,
        keeper: ResultKeeper,
        news: ResultNews,
        *,
        record_bytes: int,
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._heartbeat = heartbeat
        self._keeper = keeper
        self._news = news
        self._record_bytes = record_bytes
        self._behind: set[asyncio.Task[None]] = set()

    @property
    def crowded(self) -> bool:
        """Return whether too many endings wait for artifacts to begin more jobs."""
        return len(self._behind) >= _CROWD

    async def end(self, end: EndedJob, token: int) -> None:
        """Record and publish the outcome before returning. LeaseLostError when another executor owns the job.

        While the job store is down the result is stored durably first, and recorded when the store is back. A record
        too large for the store is stored durably first, too: the stored record refers to it.
        """
        encoded = record.encode(end.job)
        large = len(encoded) > self._record_bytes
        stored = record.encode_stub(end.job) if large else encoded
        say: Say = partial(self._jobs.finish, end.job, token, stored, await self._news_of(end.job, large=large))
        kept, keep_first = False, large
        while True:
            if keep_first and (earlier := await self._try_to_keep(end, encoded, at_once=True)) is not None:
                kept, keep_first = True, False
                say = await self._saying(earlier) if earlier else say
            if kept or not large:
                try:
                    await say()
                    break
                except UnavailableError:
                    log.warning("the result waits for the job store")
                    keep_first = not kept
            await asyncio.sleep(_RETRY_S)
        self._go_on(end, b"" if kept else encoded)

    async def found(self, end: EndedJob) -> bool:
        """Record the durable result of an owner that died, and end the job. Return False when there is none."""
        earlier = await self._keeper.find(end.job.job_id)
        if earlier is None:
            return False
        log.info("its durable result was there already")
        await (await self._saying(earlier))()
        self._go_on(end, b"")
        return True

    async def complete(self, end: EndedJob) -> None:
        """Finish the ending of a recorded job, in case its owner died right after recording it."""
        recorded = await self._jobs.finished_record(end.job.job_id) or b""
        in_artifacts = bool(recorded) and record.decode(recorded).kept_in_artifacts
        self._go_on(end, b"" if in_artifacts else recorded)

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for the background tasks. Unfinished ones are left to the next receiver."""
        if self._behind:
            _, left = await asyncio.wait(self._behind, timeout=grace_s)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _saying(self, kept: bytes) -> Say:
        """Return the call that records a durable result."""
        job, large = record.decode(kept), len(kept) > self._record_bytes
        stored = record.encode_stub(job) if large else kept
        return partial(self._jobs.adopt, job, stored, await self._news_of(job, large=large))

    async def _news_of(self, job: Job, *, large: bool) -> bytes:
        return b"" if large else await self._news.write(job)

    async def _try_to_keep(self, end: EndedJob, encoded: bytes, *, at_once: bool = False) -> bytes | None:
        """Store the durable result. Return None while artifacts is down, else as `ResultKeeper.keep`."""
        try:
            return await self._keep(end, encoded, at_once=at_once)
        except UnavailableError as error:
            log.warning("the result waits for artifacts", error=error.message)
            return None

    async def _keep(self, end: EndedJob, encoded: bytes, *, at_once: bool = False) -> bytes:
        payload_done = end.payload_kept and not end.buried  # a dead letter may be queued again
        wanted = FinishedRecord(job_id=end.job.job_id, record=encoded, payload_done=payload_done)
        return await self._keeper.keep(wanted, at_once=at_once)

    def _go_on(self, end: EndedJob, encoded: bytes) -> None:
        task = asyncio.create_task(self._finish_behind(end, encoded))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _finish_behind(self, end: EndedJob, encoded: bytes) -> None:
        """Store the record unless it is empty, then delete or dead-letter the message."""
        with self._heartbeat.holding(end.delivery):
            if encoded:
                await until_available(lambda: self._keep_and_correct(end, encoded), "the result waits to be kept")
            await until_available(lambda: self._let_go(end), "the message waits for its queue")

    async def _keep_and_correct(self, end: EndedJob, encoded: bytes) -> None:
        """Store the record. If a different one was stored earlier, record that one."""
        if earlier := await self._keep(end, encoded):
            await (await self._saying(earlier))()

    async def _let_go(self, end: EndedJob) -> None:
        try:
            if end.buried:
                await self._queue.bury(end.delivery, end.buried)
            else:
                await self._queue.delete(end.delivery)
        except ReceiptLostError:
            log.info("another receiver has the message, and finds its job ended")
