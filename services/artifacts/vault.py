"""The rules: the limits of uploads, their keys, and the readers they are for."""

import asyncio
import codecs
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nanogrid.bundle import BundleLimits, pack_single, verify
from nanogrid.errors import InvalidFieldError, TooLargeError
from nanogrid.logs import logger
from nanogrid.v1.artifacts_pb2 import BuildInfo, BuildKey, CodeInfo
from services.artifacts import keys
from services.artifacts.blobs import CHUNK_BYTES, BlobInfo, BlobStore, content_type_of
from services.artifacts.signing import UrlSigner
from services.artifacts.spool import Spool, read_chunks, write_chunks
from services.artifacts.threads import finish

log = logger()

_ZIP = "application/zip"
_SIGNED_AT_ONCE = 1000
_GATES = 2  # bundles inflated at a time: seconds of computing each, while downloads wait for a thread


class Vault:
    """Code bundles, builds and output files. Everything streams. A failed upload leaves nothing.

    Safe for concurrent use.
    """

    def __init__(
        self,
        code: BlobStore,
        data: BlobStore,
        spool: Spool,
        signer: UrlSigner,
        *,
        bundle_limits: BundleLimits,
        upload_bytes: int,
        output_bytes: int,
        url_ttl_s: int,
        before_code_goes: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`before_code_goes` is told the key of a bundle that is about to be deleted, and may refuse."""
        self._code = code
        self._data = data
        self._spool = spool
        self._signer = signer
        self._bundle_limits = bundle_limits
        self._upload_bytes = upload_bytes
        self._output_bytes = output_bytes
        self._url_ttl_s = url_ttl_s
        self._before_code_goes = before_code_goes
        self._gates = asyncio.Semaphore(_GATES)

    async def upload_code(self, function_id: str, filename: str, chunks: AsyncIterator[bytes]) -> CodeInfo:
        """Take an upload through the gate and store it. InvalidFieldError, TooLargeError, ArchiveRejectedError."""
        key = keys.code_key(function_id)
        single = keys.is_single_source(filename)
        with self._spool.file() as received, self._spool.file() as packed:
            if not await write_chunks(received, _bounded(chunks, "file", self._upload_bytes)):
                raise InvalidFieldError("file", "is empty; upload the function's source code")
            if single:
                await finish(_pack_source, received, filename, packed)
            bundle = packed if single else received
            code = await self._judge(key, bundle)
            code.single_file = single
            await self._code.put(key, bundle, content_type=_ZIP, sha256=code.code_sha256)
        log.info("code stored", key=key, size_bytes=code.size_bytes, sha256=code.code_sha256)
        return code

    async def inspect_code(self, s3_key: str) -> CodeInfo:
        """Take a bundle that lies in the bucket through the gate. NotFoundError, and as for an upload."""
        with self._spool.file() as copy:
            async with self._code.open(s3_key) as (info, chunks):
                if info.size_bytes > self._upload_bytes:
                    raise TooLargeError("file", limit=self._upload_bytes, actual=info.size_bytes)
                await write_chunks(copy, _bounded(chunks, "file", self._upload_bytes))
            return await self._judge(s3_key, copy)

    @asynccontextmanager
    async def open_code(self, s3_key: str) -> AsyncIterator[tuple[CodeInfo, AsyncIterator[bytes]]]:
        """Return a bundle's description, without root files, and its bytes. NotFoundError if it is not there."""
        async with self._code.open(s3_key) as (info, chunks):
            if info.sha256:
                yield CodeInfo(s3_key=s3_key, code_sha256=info.sha256, size_bytes=info.size_bytes), chunks
                return
            with self._spool.file() as copy:  # put into the bucket by hand: the digest comes first, so read it twice
                size = await write_chunks(copy, chunks)
                digest = await finish(_digest, copy)
                yield CodeInfo(s3_key=s3_key, code_sha256=digest, size_bytes=size), read_chunks(copy, CHUNK_BYTES)

    async def delete_code(self, function_id: str) -> None:
        """Delete the bundle of an uploaded function, if it is there. UnavailableError while it must not go yet.

        What was put into the bucket by hand, for a function with a name of its own, was never ours to delete.
        """
        if keys.is_given_name(function_id):
            return
        key = keys.code_key(function_id)
        if self._before_code_goes:
            await self._before_code_goes(key)
        await self._code.delete(key)

    async def upload_output(self, job_id: str, path: str, chunks: AsyncIterator[bytes]) -> BlobInfo:
        """Store one output file. InvalidFieldError, TooLargeError."""
        key = keys.output_key(job_id, path)
        bounded = _bounded(chunks, "output file", self._output_bytes)
        return await self._data.put(key, bounded, content_type=content_type_of(path))

    async def describe_output(self, key: str) -> BlobInfo:
        """Return an output file's description. NotFoundError if it is not there."""
        return await self._data.head(keys.check_output_key(key))

    @asynccontextmanager
    async def open_output(
        self, key: str, first_byte: int = 0, size_bytes: int = 0
    ) -> AsyncIterator[tuple[BlobInfo, AsyncIterator[bytes]]]:
        """Return an output file's description and its bytes, or `size_bytes` (0 = all) of them from `first_byte` on.

        NotFoundError if it is not there.
        """
        if first_byte < 0 or size_bytes < 0:
            raise InvalidFieldError("first_byte", "and size_bytes are 0 or more")
        async with self._data.open(keys.check_output_key(key), first_byte) as (info, chunks):
            yield info, _first(chunks, size_bytes) if size_bytes else chunks

    async def upload_build(self, build: BuildKey, chunks: AsyncIterator[bytes]) -> BuildInfo:
        """Store the build of a bundle. InvalidFieldError, TooLargeError."""
        key = keys.build_key(build.runtime, build.toolchain, build.code_sha256)
        with self._spool.file() as received:
            size = await write_chunks(received, _bounded(chunks, "build", self._upload_bytes))
            digest = await finish(_digest, received)
            await self._data.put(key, received, content_type=_ZIP, sha256=digest)
        return BuildInfo(build_sha256=digest, size_bytes=size)

    @asynccontextmanager
    async def open_build(self, build: BuildKey) -> AsyncIterator[tuple[BuildInfo, AsyncIterator[bytes]]]:
        """Return a build's description and its bytes. NotFoundError if it was never built."""
        key = keys.build_key(build.runtime, build.toolchain, build.code_sha256)
        async with self._data.open(key) as (info, chunks):
            yield BuildInfo(build_sha256=info.sha256, size_bytes=info.size_bytes), chunks

    def check_signature(self, key: str, expires_at_s: int, signature: str) -> None:
        """NotFoundError unless we signed exactly this and it has not expired."""
        self._signer.check(key, expires_at_s, signature)

    async def sign_outputs(self, wanted: list[str]) -> list[str]:
        """URLs that open output files without a key, in the order asked for. The files need not be there."""
        if len(wanted) > _SIGNED_AT_ONCE:
            raise InvalidFieldError("keys", f"holds {len(wanted)} keys; ask for at most {_SIGNED_AT_ONCE} at once")
        return [await self._sign(keys.check_output_key(key)) for key in wanted]

    async def _sign(self, key: str) -> str:
        return await self._data.signed_url(key, self._url_ttl_s) or self._signer.url(key, self._url_ttl_s)

    async def _judge(self, key: str, path: Path) -> CodeInfo:
        async with self._gates:
            return await finish(_describe, key, path, self._bundle_limits)


async def _bounded(chunks: AsyncIterator[bytes], what: str, limit: int) -> AsyncIterator[bytes]:
    """Pass chunks on until they exceed the limit: TooLargeError then, before the excess is passed on."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLargeError(what, limit=limit)
        yield chunk


async def _first(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Pass on the first `size` bytes."""
    async for chunk in chunks:
        yield chunk[:size]
        size -= len(chunk)
        if size <= 0:
            return


def _describe(key: str, path: Path, limits: BundleLimits) -> CodeInfo:
    bundle = verify(path, limits)
    size = path.stat().st_size
    return CodeInfo(s3_key=key, code_sha256=_digest(path), size_bytes=size, root_files=bundle.root_files)


def _pack_source(source: Path, filename: str, packed: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with source.open("rb") as file:
        try:
            while data := file.read(CHUNK_BYTES):
                decoder.decode(data)
                if b"\x00" in data:
                    raise InvalidFieldError("file", "holds a NUL character: it is not source code")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise InvalidFieldError("file", "is not UTF-8 text; save the source code as UTF-8") from None
    pack_single(source, filename, packed)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
