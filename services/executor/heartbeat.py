"""Keeping running jobs ours: the lease in the job store, the message's visibility on the queue."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore, LeaseLostError
from nanogrid.logs import logger
from nanogrid.queue import Delivery, ReceiptLostError, TaskQueue

log = logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the lease and the message's visibility last without a heartbeat; both are renewed every third of it."""

    lease_s: float
    visibility_s: float


@dataclass(slots=True)
class _Held:
    delivery: Delivery
    job_id: str
    token: int
    owner: "asyncio.Task[object]"
    renew_at: float
    extend_at: float
    lost: bool = False


class Heart:
    """Beats for every job this executor runs. A call that ends before its first beat costs nothing."""

    def __init__(self, jobs: JobStore, queue: TaskQueue, pace: Pace) -> None:
        self._jobs = jobs
        self._queue = queue
        self.pace = pace
        self._held: dict[int, _Held] = {}  # by identity

    @asynccontextmanager
    async def beating(self, delivery: Delivery, job_id: str, token: int) -> AsyncIterator[None]:
        """Renew both inside the block; LeaseLostError out of the block the moment one is refused.

        An outage is no refusal: nobody else can take the job from a store that is down.
        """
        owner = asyncio.current_task()
        assert owner is not None
        now = time.monotonic()
        held = _Held(delivery, job_id, token, owner, now + self.pace.lease_s / 3, now + self.pace.visibility_s / 3)
        self._held[id(held)] = held
        try:
            yield
        except asyncio.CancelledError:
            if held.lost:
                owner.uncancel()
                raise LeaseLostError(job_id) from None
            raise
        finally:
            del self._held[id(held)]

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await asyncio.sleep(min(self.pace.lease_s, self.pace.visibility_s) / 12)
            now = time.monotonic()
            due = [held for held in self._held.values() if min(held.renew_at, held.extend_at) <= now]
            await asyncio.gather(*(self._beat(held, now) for held in due))

    async def _beat(self, held: _Held, now: float) -> None:
        try:
            if held.renew_at <= now:
                held.renew_at = now + self.pace.lease_s / 3
                await self._jobs.renew(held.job_id, held.token, self.pace.lease_s)
            if held.extend_at <= now:
                held.extend_at = now + self.pace.visibility_s / 3
                await self._queue.extend(held.delivery)
        except UnavailableError as error:
            log.warning("heartbeat missed", job_id=held.job_id, error=error.message)
        except (LeaseLostError, ReceiptLostError):
            if id(held) in self._held:  # it may have ended meanwhile
                held.lost = True
                held.owner.cancel()
