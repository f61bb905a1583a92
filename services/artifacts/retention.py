"""Deletes results and left-over payloads in time, in stores that have no rules of their own for it: folders."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from nanogrid.errors import NanoGridError
from nanogrid.logs import logger
from services.artifacts.archive import RESULTS
from services.artifacts.blobs import BlobStore

log = logger()

_DAY_S = 24 * 3600.0
_FIRST_S = 300.0  # a process that has just started has other things to do
PAYLOADS = "payloads/"
_PAYLOAD_DAYS = 30.0  # their jobs may still be queued, or lie as dead letters: SQS keeps messages for 14 days


class Retention:
    """Deletes results older than so many days, but none that the archive has not got, and payloads without a job.

    Several processes may do so at once. A bucket does it by itself: there, every listing would cost.
    """

    def __init__(
        self,
        data: BlobStore,
        days: float,
        archived_until_s: Callable[[], Awaitable[float]] | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`archived_until_s` tells up to when every result is in the archive, or is None."""
        self._data = data
        self._days = days
        self._archived_until_s = archived_until_s
        self._clock = clock

    async def run(self) -> None:
        """Sweep soon, then about once a day."""
        await asyncio.sleep(_FIRST_S)
        while True:
            try:
                await self.sweep()
            except NanoGridError as error:
                log.warning("retention postponed", error=error.message)
            await asyncio.sleep(_DAY_S * random.uniform(0.9, 1.1))  # noqa: S311 - no secret; not all on one minute

    async def sweep(self) -> int:
        """Delete expired results and payloads. How many that were. UnavailableError while the store fails."""
        now_s = self._clock()
        oldest_s = now_s - self._days * _DAY_S
        archived_s = await self._archived_until_s() if self._archived_until_s else oldest_s
        count = await self._delete_before(RESULTS, min(oldest_s, archived_s))
        count += await self._delete_before(PAYLOADS, now_s - max(self._days, _PAYLOAD_DAYS) * _DAY_S)
        if count:
            log.info("results and payloads over their time deleted", count=count, days=self._days)
        return count

    async def _delete_before(self, prefix: str, oldest_s: float) -> int:
        count = 0
        async for one in self._data.list(prefix):
            if one.modified_s < oldest_s:
                await self._data.delete(one.key)
                count += 1
        return count
