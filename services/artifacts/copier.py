"""Copies into the archive: a job's code once per digest, then its result."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Hashable
from contextlib import nullcontext
from dataclasses import dataclass

import msgspec
from cachetools import FIFOCache

from nanogrid.errors import InvalidFieldError, NotFoundError, UnavailableError
from nanogrid.logs import logger
from services.artifacts import keys
from services.artifacts.blobs import BlobStore
from services.artifacts.threads import finish

log = logger()

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGE_BYTES = 1_000_000  # of a record: one such at a time, in memory as bytes and once more as objects
_COPIES = 4  # bundles under way at a time, each with some parts of 8 MiB in memory
_STRIPES = 64  # locks for digests, so that no two copy the same one
_REMEMBERED = 100_000  # jobs, and digests: some 10 MB each


@dataclass(slots=True)
class Tally:
    """Counts since the process began."""

    results: int = 0
    codes: int = 0
    lost_codes: int = 0  # gone or changed before they were archived


@dataclass(frozen=True, slots=True)
class Intent:
    """The archive's part in a record of success. `code_sha256` is "" where the record does not know it."""

    s3_key: str
    code_sha256: str


class _Said(msgspec.Struct):
    """The fields of a record that matter here. The rest, its result above all, is passed over."""

    status: str
    state: str = ""
    s3_key: str = ""
    code_sha256: str = ""


_said = msgspec.json.Decoder(_Said)
SUCCESS = "SUCCESS"


def intent_of(record: bytes) -> Intent | None:
    """Return the part to archive of a record, or None where it is no success or no record."""
    try:
        said = _said.decode(record)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if SUCCESS not in (said.state, said.status):  # older records have their state as their status
        return None
    return Intent(said.s3_key, said.code_sha256 if _SHA256.fullmatch(said.code_sha256) else "")


class Copier:
    """Copies from the grid's stores to the archive's. The first copy wins. A copy that is there already is done.

    For one event loop. Several processes may copy the same. Every method raises UnavailableError while a store fails.
    """

    def __init__(self, code: BlobStore, data: BlobStore, archive: BlobStore) -> None:
        self._code = code
        self._data = data
        self._archive = archive
        self._results: FIFOCache[Hashable, None] = FIFOCache(_REMEMBERED)
        self._digests: FIFOCache[Hashable, None] = FIFOCache(_REMEMBERED)
        self._lost: FIFOCache[Hashable, None] = FIFOCache(_REMEMBERED)
        self._stripes = [asyncio.Lock() for _ in range(_STRIPES)]
        self._copies = asyncio.Semaphore(_COPIES)
        self._large = asyncio.Lock()
        self.tally = Tally()

    async def probe(self) -> None:
        """Tell whether the archive takes blobs. It keeps an empty one of this."""
        await self._archive.put_new({"archive/probe": b""}, content_type="text/plain")

    async def has_result(self, job_id: str) -> bool:
        """Tell whether a job's result is in the archive. Then its code is too."""
        if job_id not in self._results and await _is_there(self._archive, keys.result_key(job_id)):
            self._results[job_id] = None
        return job_id in self._results

    async def copy_result(self, job_id: str, size_bytes: int, record: bytes | None = None) -> None:
        """Archive a job's code and its record, if it is one of success. `record` where it is in hand already."""
        async with self._large if size_bytes > _LARGE_BYTES else nullcontext():
            key = keys.result_key(job_id)
            try:
                record = await self._data.read(key) if record is None else record
            except NotFoundError:  # forgotten meanwhile, or its retention is over
                return
            intent = await finish(intent_of, record) if len(record) > _LARGE_BYTES else intent_of(record)
            if intent is None:
                return
            await self._copy_code_of(intent)
            stored = await self._archive.put_new({key: record}, content_type="application/json")
            self.tally.results += len(stored)
            self._results[job_id] = None

    async def copy_code(self, s3_key: str) -> None:
        """Archive the object at a key of the code bucket, if there is one."""
        try:
            await self._copy(s3_key, await self._digest_at(s3_key))
        except NotFoundError:
            return
        except _ChangedError:
            raise UnavailableError("the code was replaced while it was archived; try again") from None

    async def _copy_code_of(self, intent: Intent) -> None:
        # Said once per key and digest: hundreds of jobs a second may share them.
        if not intent.s3_key or (intent in self._lost):
            return
        try:
            await self._copy(intent.s3_key, intent.code_sha256 or await self._digest_at(intent.s3_key))
        except (NotFoundError, InvalidFieldError, _ChangedError):
            self.tally.lost_codes += 1
            self._lost[intent] = None
            log.warning(
                "code was gone or replaced before it was archived", key=intent.s3_key, sha256=intent.code_sha256
            )

    async def _copy(self, s3_key: str, digest: str) -> None:
        async with self._stripes[int(digest, 16) % _STRIPES]:
            if digest in self._digests:
                return
            key = f"code/{digest}.zip"
            if not await _is_there(self._archive, key):
                async with self._copies, self._code.open(s3_key) as (info, chunks):
                    if info.sha256 not in ("", digest):
                        raise _ChangedError
                    await self._archive.put(
                        key, _checked(chunks, digest), content_type="application/zip", sha256=digest
                    )
                self.tally.codes += 1
            self._digests[digest] = None

    async def _digest_at(self, s3_key: str) -> str:
        async with self._code.open(s3_key) as (info, chunks):
            if info.sha256:
                return info.sha256
            found = hashlib.sha256()  # put there by hand: nobody has said what it is
            async for chunk in chunks:
                await finish(found.update, chunk)
        return found.hexdigest()


class _ChangedError(Exception):
    """The object there is another than the expected one."""


async def _checked(chunks: AsyncIterator[bytes], digest: str) -> AsyncIterator[bytes]:
    """Return the chunks. _ChangedError at their end if their digest is another, before they count as whole."""
    found = hashlib.sha256()
    async for chunk in chunks:
        await finish(found.update, chunk)
        yield chunk
    if found.hexdigest() != digest:
        raise _ChangedError


async def _is_there(store: BlobStore, key: str) -> bool:
    try:
        await store.head(key)
    except NotFoundError:
        return False
    return True
