"""Keeping a job ours while it runs: the lease in the job store, the message's visibility on the queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore, LeaseLostError
from nanogrid.logs import logger
from nanogrid.queue import Delivery, ReceiptLostError, TaskQueue

log = logger()


@asynccontextmanager
async def beating(
    jobs: JobStore, queue: TaskQueue, delivery: Delivery, *, job_id: str, token: int, lease_s: float
) -> AsyncIterator[None]:
    """Renew both every third of the lease inside the block; LeaseLostError out of the block the moment one is refused.

    An outage is no refusal: nobody else can take the job from a store that is down.
    """
    owner = asyncio.current_task()
    assert owner is not None
    lost = False

    async def beat() -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(lease_s / 3)
            try:
                await jobs.renew(job_id, token, lease_s)
                await queue.extend(delivery)
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
