"""Stores durable results as artifacts does, in a folder and without a network, with outages on demand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.v1.artifacts_pb2 import FinishedRecord, KeptRecord
from services.artifacts.blobs import open_blobs
from services.artifacts.results import DurableResults


class KeptResults:
    """The part of artifacts that executor and invoker use for records and payloads."""

    def __init__(self, results: DurableResults) -> None:
        self._results = results
        self.is_down = False
        self.asked: list[str] = []  # the job ids of all records sent, stored or not

    async def keep_results(self, records: Sequence[FinishedRecord]) -> list[KeptRecord]:
        self.asked += [one.job_id for one in records]
        self._answer()
        return await self._results.keep(records)

    async def keep(self, record: FinishedRecord) -> bytes:
        [kept] = await self.keep_results([record])
        return kept.earlier

    async def read_result(self, job_id: str) -> bytes:
        self._answer()
        return await self._results.get(job_id)

    async def delete_result(self, job_id: str) -> None:
        self._answer()
        await self._results.delete(job_id)

    async def keep_payload(self, job_id: str, payload: bytes) -> None:
        self._answer()
        await self._results.keep_payload(job_id, payload)

    async def read_payload(self, job_id: str) -> bytes:
        self._answer()
        return await self._results.get_payload(job_id)

    async def holds(self, job_id: str) -> bool:
        """Return whether there is a durable result, also during an outage."""
        try:
            await self._results.get(job_id)
        except NotFoundError:
            return False
        return True

    async def holds_payload(self, job_id: str) -> bool:
        """Return whether a payload is stored, also during an outage."""
        try:
            await self._results.get_payload(job_id)
        except NotFoundError:
            return False
        return True

    def _answer(self) -> None:
        if self.is_down:
            raise UnavailableError("artifacts cannot be reached")


@asynccontextmanager
async def kept_results(folder: Path, payload_bytes: int = 1_000_000) -> AsyncIterator[KeptResults]:
    async with open_blobs(folder.as_uri()) as data:
        yield KeptResults(DurableResults(data, payload_bytes, lambda _job_id, _record: None))
