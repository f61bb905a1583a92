"""Archives results soon after the answer is out, and tries again for as long as it takes.

The durable result is itself the intent. A lost intention of this process is found by `reconcile`, which lists the
results.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from nanogrid.errors import NanoGridError, NotFoundError, UnavailableError
from nanogrid.logs import logger
from services.artifacts import keys
from services.artifacts.blobs import BlobStore, Listed
from services.artifacts.copier import Copier, Tally
from services.artifacts.outage import Backoff, Outage

log = logger()

WATERMARK = "archive/watermark"
RESULTS = "results/"

_IN_HAND_BYTES = 16_384  # of a record: kept while it waits, larger ones are read again; with _WAITING at most 64 MB
_WAITING = 4096


@dataclass(frozen=True, slots=True)
class ArchivePace:
    """How fast, how patient."""

    parallel: int = 16  # results under way at a time; one takes some 100 ms
    waiting: int = _WAITING
    backoff: Backoff = field(default_factory=Backoff)
    reconcile_s: float = 3600.0  # between listings: what they find is left by a process that died for good
    rest_s: float = 60.0  # between listings at least, also when results had to be dropped
    slack_s: float = 300.0  # how far clocks may be apart, and how long a store may take to list what it has


@dataclass(frozen=True, slots=True)
class _Offer:
    job_id: str
    size_bytes: int
    record: bytes | None


class Archive:
    """Archives the code and the result of every job that succeeded, without ever holding one up.

    For one event loop. Any number of processes may archive the same stores into the same archive.
    """

    def __init__(
        self,
        copier: Copier,
        data: BlobStore,
        name: str,
        pace: ArchivePace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`name` says which archive it is: another one has to get everything anew."""
        self._copier = copier
        self._data = data
        self._name = name
        self._pace = pace or ArchivePace()
        self._clock = clock
        self._offered: asyncio.Queue[_Offer] = asyncio.Queue(self._pace.waiting)
        self._outage = Outage(copier.probe, self._pace.backoff)
        self._has_gap = asyncio.Event()
        self._dropped = 0

    @property
    def tally(self) -> Tally:
        """Return the counts of archived things since the process began."""
        return self._copier.tally

    def offer(self, job_id: str, record: bytes) -> None:
        """Archive a record that was kept, some time later. Costs nothing.

        Where too many wait, a listing will find it.
        """
        in_hand = record if len(record) <= _IN_HAND_BYTES else None
        try:
            self._offered.put_nowait(_Offer(job_id, len(record), in_hand))
        except asyncio.QueueFull:
            self._dropped += 1
            if not self._has_gap.is_set():
                self._has_gap.set()
                log.warning("too many results wait for the archive; a listing will find the rest", waiting=_WAITING)

    async def before_code_goes(self, s3_key: str) -> None:
        """Archive the code at a key that is to be deleted. UnavailableError while that cannot be done."""
        try:
            await self._copier.copy_code(s3_key)
        except UnavailableError as error:
            self._outage.begin(error)
            raise UnavailableError(f"the code cannot be archived yet: {error.message}") from error

    async def run(self) -> None:
        """Archive for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._pace.parallel):
                group.create_task(self._archive_offered())
            group.create_task(self._reconcile_often())

    async def watermark(self) -> float:
        """Return the moment, in seconds since 1970, before which every result is in the archive."""
        try:
            said = orjson.loads(await self._data.read(WATERMARK))
            return float(said["until_s"]) if said["archive"] == self._name else 0.0
        except (NotFoundError, ValueError, KeyError, TypeError):
            return 0.0

    async def reconcile(self) -> None:
        """Archive every kept result that is not there yet, then move the watermark. NanoGridError if one cannot be."""
        began_s, since_s, dropped = self._clock(), await self.watermark(), self._dropped
        looked_at, batch = 0, list[Listed]()
        async for one in self._data.list(RESULTS):
            if one.modified_s >= since_s:
                batch.append(one)
            if len(batch) == self._pace.parallel:
                looked_at += len(batch)
                await self._archive_listed(batch)
                batch = []
        await self._archive_listed(batch)
        await self._move_watermark(began_s - self._pace.slack_s)
        log.info(
            "archive reconciled", looked_at=looked_at + len(batch), dropped=dropped, results=self.tally.results,
            codes=self.tally.codes, lost_codes=self.tally.lost_codes,
        )  # fmt: skip

    async def _archive_offered(self) -> None:
        while True:
            one = await self._offered.get()
            failures = 0
            while not await self._try(one):
                # An outage is waited for together; who fails though it is over waits by itself.
                await asyncio.sleep(self._pace.backoff.wait_s(failures))
                failures += 1

    async def _try(self, one: _Offer) -> bool:
        """Tell whether nothing is left to do for it here."""
        await self._outage.over()
        try:
            await self._copier.copy_result(one.job_id, one.size_bytes, one.record)
        except UnavailableError as error:
            self._outage.begin(error)
            return False
        except Exception:  # a fault of ours over one record must not keep the others out
            log.exception("a result cannot be archived; the next listing tries again", job_id=one.job_id)
            self._has_gap.set()
        return True

    async def _reconcile_often(self) -> None:
        is_first = True
        while True:
            if is_first or self._has_gap.is_set() or not await self._was_done_lately():
                await self._reconcile_at_last()
            is_first = False
            await asyncio.sleep(self._pace.rest_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.reconcile_s * random.uniform(0.75, 1.25)):  # noqa: S311 - no secret
                    await self._has_gap.wait()

    async def _reconcile_at_last(self) -> None:
        failures = 0
        while True:
            await self._outage.over()
            self._has_gap.clear()
            try:
                return await self.reconcile()
            except NanoGridError as error:
                self._outage.begin(error)
            except Exception:  # see above
                log.exception("the archive cannot be reconciled; it is tried again")
            await asyncio.sleep(self._pace.backoff.wait_s(failures))
            failures += 1

    async def _was_done_lately(self) -> bool:
        """Tell whether another process has reconciled within half the time."""
        try:
            behind_s = self._clock() - await self.watermark()
        except UnavailableError:
            return False
        return behind_s < self._pace.slack_s + self._pace.reconcile_s / 2

    async def _archive_listed(self, batch: list[Listed]) -> None:
        done = await asyncio.gather(*map(self._archive_one, batch), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    async def _archive_one(self, one: Listed) -> None:
        job_id = keys.job_of_result(one.key)
        if job_id and not await self._copier.has_result(job_id):
            await self._copier.copy_result(job_id, one.size_bytes)

    async def _move_watermark(self, until_s: float) -> None:
        if until_s > await self.watermark():
            said = orjson.dumps({"until_s": until_s, "archive": self._name})
            await self._data.put(WATERMARK, _once(said), content_type="application/json")


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
