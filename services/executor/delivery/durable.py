"""Keeps durable results in artifacts, many in one call."""

from collections.abc import Sequence

from nanogrid.artifacts import Artifacts
from nanogrid.batching import Batcher
from nanogrid.errors import NotFoundError
from nanogrid.v1.artifacts_pb2 import FinishedRecord

_BATCH = 200  # records in one call
_BATCH_BYTES = 8_000_000  # and their size, unless one alone is larger
# Records of this long travel together: nobody waits for them, and under load a record then costs a third.
_LINGER_S = 0.02


class ResultKeeper:
    """Keeps records in one call at a time: the slower artifacts is, the more a call carries."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._batches: Batcher[FinishedRecord, bytes] = Batcher(
            self._keep, max_items=_BATCH, max_bytes=_BATCH_BYTES, linger_s=_LINGER_S
        )

    async def keep(self, record: FinishedRecord, *, at_once: bool = False) -> bytes:
        """Keep a record. B"", or the different one that was kept earlier and stays. UnavailableError: not kept yet.

        `at_once` where a caller waits for it.
        """
        return await self._batches.add(record, len(record.record), at_once=at_once)

    async def find(self, job_id: str) -> bytes | None:
        """Read the record kept earlier, if there is one. UnavailableError."""
        try:
            return await self._artifacts.read_result(job_id)
        except NotFoundError:
            return None

    async def _keep(self, records: Sequence[FinishedRecord]) -> Sequence[bytes]:
        return [one.earlier for one in await self._artifacts.keep_results(records)]
