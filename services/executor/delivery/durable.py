"""Stores durable results in artifacts, in batches."""

from collections.abc import Sequence

from nanogrid.artifacts import Artifacts
from nanogrid.batching import Batcher
from nanogrid.errors import NotFoundError
from nanogrid.v1.artifacts_pb2 import FinishedRecord

_BATCH = 200  # records in one call
_BATCH_BYTES = 8_000_000  # their total size, unless one record alone is larger
# Records of this period share a call: no caller waits for them, and under load a record then costs a third.
_LINGER_S = 0.02


class ResultKeeper:
    """Stores records with one call at a time, so that slower calls carry more. Safe to use concurrently."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._batches: Batcher[FinishedRecord, bytes] = Batcher(
            self._keep, max_items=_BATCH, max_bytes=_BATCH_BYTES, linger_s=_LINGER_S
        )

    async def keep(self, record: FinishedRecord, *, at_once: bool = False) -> bytes:
        """Store a record. Return b"", or the different record that was stored earlier and stays.

        `at_once` skips the wait for a batch. UnavailableError when it is not stored yet.
        """
        return await self._batches.add(record, len(record.record), at_once=at_once)

    async def find(self, job_id: str) -> bytes | None:
        """Return the record stored earlier, or None. UnavailableError while artifacts is down."""
        try:
            return await self._artifacts.read_result(job_id)
        except NotFoundError:
            return None

    async def _keep(self, records: Sequence[FinishedRecord]) -> Sequence[bytes]:
        return [one.earlier for one in await self._artifacts.keep_results(records)]
