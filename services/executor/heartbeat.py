"""Keeping a job ours while it runs: the lease in the job store, the message's visibility on the queue."""

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


@asynccontextmanager
async def beating(
    jobs: JobStore, queue: TaskQueue, delivery: Delivery, *, job_id: str, token: int, pace: Pace
) -> AsyncIterator[None]:
    """Renew both inside the block; LeaseLostError out of the block the moment one is refused.

    An outage is no refusal: nobody else can take the job from a store that is down.
    """
    owner = asyncio.current_task()
    assert owner is not None
    lost = False

    async def beat() -> None:
        nonlocal lost
        extend_at = time.monotonic() + pace.visibility_s / 3
        while True:
            await asyncio.sleep(pace.lease_s / 3)
            try:
                await jobs.renew(job_id, token, pace.lease_s)
                if time.monotonic() >= extend_at:
                    await queue.extend(delivery)
                    extend_at = time.monotonic() + pace.visibility_s / 3
            except UnavailableError as error:
                log.warning("heartbeat missed", error=error.message)
            except (LeaseLostError, ReceiptLostError):
                lost = True
                owner.cancel()
                return

    beats = asyncio.create_task(beat(), name=f"heartbeat {job_id}")
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            owner.uncancel()
            raise LeaseLostError(job_id) from None
        raise
    finally:
        beats.cancel()
