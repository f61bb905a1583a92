"""Durable results and large payloads: one object a job, the first record of a job is its result."""

import asyncio
from collections.abc import Callable, Sequence

from nanogrid.errors import InvalidFieldError, TooLargeError
from nanogrid.v1.artifacts_pb2 import FinishedRecord, KeptRecord
from services.artifacts import keys
from services.artifacts.blobs import BlobStore

_JSON = "application/json"
_AT_ONCE = 1000  # records in one call

# What else happens to a record once it is kept: its job's id and its bytes.
Kept = Callable[[str, bytes], None]


class DurableResults:
    """Keeps records and payloads. Safe for concurrent use, also by several processes on one store."""

    def __init__(self, data: BlobStore, payload_bytes: int, kept: Kept) -> None:
        self._data = data
        self._payload_bytes = payload_bytes
        self._kept = kept

    async def keep(self, records: Sequence[FinishedRecord]) -> list[KeptRecord]:
        """Keep each record unless its job has one. Where an earlier one differs, return it. InvalidFieldError."""
        if not 1 <= len(records) <= _AT_ONCE:
            raise InvalidFieldError("records", f"holds {len(records)} records; send 1 to {_AT_ONCE}")
        by_key = {keys.result_key(one.job_id): one.record for one in records}
        stored = await self._data.put_new(by_key, content_type=_JSON)
        earlier = await asyncio.gather(*(self._earlier(one, stored) for one in records))
        await asyncio.gather(*(self._data.delete(keys.payload_key(one.job_id)) for one in records if one.payload_done))
        for one in records:
            if keys.result_key(one.job_id) in stored:
                self._kept(one.job_id, one.record)
        return [KeptRecord(job_id=one.job_id, earlier=said) for one, said in zip(records, earlier, strict=True)]

    async def _earlier(self, record: FinishedRecord, stored: set[str]) -> bytes:
        key = keys.result_key(record.job_id)
        if key in stored:
            return b""
        found = await self._data.read(key)
        return b"" if found == record.record else found

    async def get(self, job_id: str) -> bytes:
        """Return the kept record. NotFoundError when there is none."""
        return await self._data.read(keys.result_key(job_id))

    async def delete(self, job_id: str) -> None:
        """Forget the record: the job is to run again."""
        await self._data.delete(keys.result_key(job_id))

    async def keep_payload(self, job_id: str, payload: bytes) -> None:
        """Keep a payload until its job's record is. TooLargeError."""
        if len(payload) > self._payload_bytes:
            raise TooLargeError("payload", limit=self._payload_bytes, actual=len(payload))
        await self._data.put_new({keys.payload_key(job_id): payload}, content_type=_JSON)

    async def get_payload(self, job_id: str) -> bytes:
        """Return the kept payload. NotFoundError when there is none."""
        return await self._data.read(keys.payload_key(job_id))
