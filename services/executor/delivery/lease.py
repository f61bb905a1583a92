"""Renews the leases of running jobs and the visibility of their messages."""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore, LeaseLostError
from nanogrid.logs import logger
from nanogrid.queue import Delivery, ReceiptLostError, TaskQueue
from nanogrid.v1.resources_pb2 import Job

log = logger()


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds that a lease and a message's visibility last. Each is renewed after a third of its time."""

    lease_s: float
    visibility_s: float


@dataclass(slots=True)
class _Held:
    delivery: Delivery
    job: Job | None  # None when it has ended and only its message is held
    token: int
    owner: "asyncio.Task[object]"
    renew_at: float
    extend_at: float
    set_aside_at: float
    lost: bool = False


class Heartbeat:
    """Sends heartbeats for every job and message held here. For one event loop. Short jobs end before the first one."""

    def __init__(self, jobs: JobStore, queue: TaskQueue, pace: LeaseTimes) -> None:
        self._jobs = jobs
        self._queue = queue
        self.pace = pace
        self._held: dict[int, _Held] = {}  # by identity

    def beating(self, delivery: Delivery, job: Job, token: int) -> AbstractContextManager[None]:
        """Renew lease and visibility inside the block. LeaseLostError interrupts the block when the lease is lost.

        An outage does not: no other executor can claim the job while the store is down.
        """
        return self._holding(delivery, job, token)

    def holding(self, delivery: Delivery) -> AbstractContextManager[None]:
        """Extend the visibility of a message after its job has ended."""
        return self._holding(delivery, None, 0)

    @contextmanager
    def _holding(self, delivery: Delivery, job: Job | None, token: int) -> Iterator[None]:
        owner = asyncio.current_task()
        assert owner is not None
        now = time.monotonic()
        held = _Held(
            delivery,
            job,
            token,
            owner,
            renew_at=now + self.pace.lease_s / 3 if job else math.inf,
            extend_at=now + self.pace.visibility_s / 3,
            # The queue limits the time a message is held, so a copy replaces it in good time.
            set_aside_at=now + self._queue.hold_s - self.pace.visibility_s,
        )
        self._held[id(held)] = held
        try:
            yield
        except asyncio.CancelledError:
            if held.lost:
                owner.uncancel()
                raise LeaseLostError(job.job_id if job else delivery.receipt) from None
            raise
        finally:
            del self._held[id(held)]

    async def run(self) -> None:
        """Send due heartbeats for ever."""
        while True:
            await asyncio.sleep(min(self.pace.lease_s, self.pace.visibility_s) / 12)
            now = time.monotonic()
            due = [held for held in self._held.values() if min(held.renew_at, held.extend_at) <= now]
            await asyncio.gather(*(self._beat(held, now) for held in due))

    async def _beat(self, held: _Held, now: float) -> None:
        try:
            if held.job is not None and held.renew_at <= now:
                held.renew_at = now + self.pace.lease_s / 3
                await self._jobs.renew(held.job, held.token, self.pace.lease_s)
            if held.extend_at <= now:
                await self._extend(held, now)
        except UnavailableError as error:
            log.warning("heartbeat missed", receipt=held.delivery.receipt, error=error.message)
        except ReceiptLostError:
            # Another executor has the message. The lease decides about the job, and that executor finds it alive.
            held.extend_at = math.inf
        except LeaseLostError:
            if id(held) in self._held:  # it may have ended meanwhile
                held.lost = True
                held.owner.cancel()

    async def _extend(self, held: _Held, now: float) -> None:
        if now < held.set_aside_at:
            held.extend_at = now + self.pace.visibility_s / 3
            await self._queue.extend(held.delivery)
        else:
            # The receiver of the copy finds the lease alive and sets the copy aside again, or finds the job ended.
            held.extend_at = math.inf
            await self._queue.set_aside(held.delivery, self.pace.visibility_s)
