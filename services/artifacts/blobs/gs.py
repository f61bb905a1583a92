"""The BlobStore in a bucket of Google Cloud Storage."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from nanogrid.errors import InvalidFieldError, UnavailableError
from services.artifacts.blobs import CHUNK_BYTES, KEY_BYTES, BlobInfo, Listed, check_object_key
from services.artifacts.blobs.gs_client import (
    RETRY,
    TIMEOUT,
    GsClient,
    GsConnection,
    NotFound,
    PreconditionFailed,
    is_bucket_missing,
)
from services.artifacts.blobs.gs_streams import PART_BYTES, Download, GsUpload, fetch
from services.artifacts.spool import read_chunks
from services.artifacts.threads import finish, finish_in

Given = ParamSpec("Given")
Result = TypeVar("Result")

_THREADS = 32  # requests at a time; one takes some 50 ms, and the archive's alone are sixteen
_LISTED_AT_ONCE = 1000  # Google's most
_SETTLE_S = 0.005  # see put
_OPENINGS = 5  # a blob may be replaced between its description and its bytes

_SHA256, _PUT = "sha256", "nanogrid-put"  # metadata

# What keys may hold and names of objects may not, and how it is written there.
_ESCAPES = {"\n": "␛n", "\r": "␛r", "␛": "␛␛"}
_PLAIN = {escape: plain for plain, escape in _ESCAPES.items()}
_ESCAPE = re.compile("␛.")


@asynccontextmanager
async def open_gs_blobs(bucket: str) -> AsyncIterator["GsBlobs"]:
    """Open the store in a bucket, which must be there when the first blob goes in. Nothing is asked of it yet."""
    client = GsClient(bucket, _THREADS)
    pool = ThreadPoolExecutor(_THREADS, "gs")
    try:
        yield GsBlobs(client, pool)
    finally:
        await finish(pool.shutdown)
        client.close()


@dataclass(frozen=True, slots=True)
class _New:
    """A blob to be, by its name in the bucket."""

    name: str
    content_type: str
    metadata: dict[str, str]
    is_first: bool = False  # it must not be there yet


class GsBlobs:
    """Blobs as objects of the same name. Their properties from `put` are in their metadata."""

    def __init__(self, client: GsClient, pool: ThreadPoolExecutor) -> None:
        self._client = client
        self._pool = pool

    async def put(
        self, key: str, source: Path | AsyncIterator[bytes], *, content_type: str, sha256: str = ""
    ) -> BlobInfo:
        new = _New(_name(key), content_type, {_SHA256: sha256} if sha256 else {})
        size = await self._put(new, _chunks_of(source) if isinstance(source, Path) else source)
        return BlobInfo(key, size, content_type, sha256)

    async def _put(self, new: _New, chunks: AsyncIterator[bytes]) -> int:
        size, held = 0, bytearray()
        upload: GsUpload | None = None
        try:
            async for chunk in chunks:
                size += len(chunk)
                held += chunk
                while len(held) > PART_BYTES:  # more than that: the last part has something in it
                    if upload is None:
                        upload = await self._do("", _begin, new)
                    await self._do("", _send, upload, _cut(held))
            # gRPC ends the stream of a call that its client broke off as if it were whole, and says so just afterwards:
            # that must not find the half of a blob in its place.
            await asyncio.sleep(_SETTLE_S)
            await (self._do("", _finish, upload, bytes(held)) if upload else self._do("", _insert, new, bytes(held)))
        except BaseException:
            if upload:
                with suppress(UnavailableError):  # Google forgets it after a week
                    await self._do("", _abandon, upload)
            raise
        return size

    async def put_new(self, blobs: Mapping[str, bytes], *, content_type: str) -> set[str]:
        new = {key: _New(_name(key), content_type, {_PUT: secrets.token_hex(8)}, is_first=True) for key in blobs}
        every = [self._do("", _insert_new, new[key], blobs[key]) for key in blobs]
        done = await asyncio.gather(*every, return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure
        return {key for key, is_stored in zip(blobs, done, strict=True) if is_stored}

    async def read(self, key: str) -> bytes:
        return await self._do(key, _read, _name(key))

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        pages = await self._do("", _pages, _prefix(prefix))
        while page := await self._do("", lambda _: next(pages, None)):
            for one in page:
                yield one

    @asynccontextmanager
    async def open(self, key: str, first_byte: int = 0) -> AsyncIterator[tuple[BlobInfo, AsyncIterator[bytes]]]:
        with ExitStack() as held:  # breaks it off also where the caller is cancelled while it begins
            info, download = await self._do(key, _open, _name(key), held, first_byte)
            yield info, self._chunks(download)

    async def _chunks(self, download: Download) -> AsyncIterator[bytes]:
        while chunk := await self._do("", lambda _: download.read(CHUNK_BYTES)):
            yield chunk

    async def head(self, key: str) -> BlobInfo:
        return _info(await self._do(key, _found, _name(key)))

    async def delete(self, key: str) -> None:
        await self._do("", _delete, _name(key))

    async def delete_below(self, prefix: str) -> None:
        async for one in self.list(prefix):
            await self._do("", _delete, _name(one.key))

    async def signed_url(self, key: str, ttl_s: int) -> str | None:
        return await self._do("", _signed_url, _name(key), timedelta(seconds=ttl_s))

    async def _do(
        self,
        key: str,
        work: Callable[Concatenate[GsConnection, Given], Result],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Result:
        """Run `work` with the link in a thread. `key` is for NotFoundError, if any."""

        def linked() -> Result:
            return work(self._client.link(), *args, **kwargs)

        with self._client.translated(key):
            return await finish_in(self._pool, linked)


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    try:
        async for chunk in read_chunks(path, CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise UnavailableError(f"the file to be stored cannot be read: {error.strerror}; try again") from error


def _cut(held: bytearray) -> bytes:
    part = bytes(held[:PART_BYTES])
    del held[:PART_BYTES]
    return part


def _begin(link: GsConnection, new: _New) -> GsUpload:
    condition = 0 if new.is_first else None
    url = _object(link, new).create_resumable_upload_session(
        content_type=new.content_type, if_generation_match=condition, checksum=None, retry=RETRY, timeout=TIMEOUT
    )
    return GsUpload(link.session, url)


def _send(_: GsConnection, upload: GsUpload, part: bytes) -> None:
    upload.send(part)


def _finish(_: GsConnection, upload: GsUpload, part: bytes) -> None:
    upload.finish(part)


def _abandon(_: GsConnection, upload: GsUpload) -> None:
    upload.abandon()


def _insert(link: GsConnection, new: _New, content: bytes) -> None:
    if len(content) <= PART_BYTES:
        condition = 0 if new.is_first else None
        _object(link, new).upload_from_string(
            content, content_type=new.content_type, if_generation_match=condition, retry=RETRY, timeout=TIMEOUT
        )
        return
    upload = _begin(link, new)
    last = (len(content) - 1) // PART_BYTES * PART_BYTES
    for start in range(0, last, PART_BYTES):
        upload.send(content[start : start + PART_BYTES])
    upload.finish(content[last:])


def _insert_new(link: GsConnection, new: _New, content: bytes) -> bool:
    try:
        _insert(link, new, content)
    except PreconditionFailed:
        return _is_ours(link, new)
    return True


def _is_ours(link: GsConnection, new: _New) -> bool:
    """Tell whether the object in the place comes from this very call: from an attempt with a lost answer."""
    try:
        metadata = _found(link, new.name).metadata or {}
    except NotFound:
        return False
    return bool(metadata.get(_PUT) == new.metadata[_PUT])


def _read(link: GsConnection, name: str) -> bytes:
    return fetch(link.session, link.media_url(link.bucket.blob(name)))


def _open(link: GsConnection, name: str, held: ExitStack, first_byte: int) -> tuple[BlobInfo, Download]:
    for _ in range(_OPENINGS):
        blob = _found(link, name)
        download = Download(link.session, link.media_url(blob), blob.size, blob.crc32c, first_byte)
        held.callback(download.close)
        with suppress(NotFound):
            download.begin()
            return _info(blob), download
    raise UnavailableError("a blob is replaced faster than it can be read; try again")


def _found(link: GsConnection, name: str) -> Any:
    blob = link.bucket.blob(name)
    blob.reload(retry=RETRY, timeout=TIMEOUT)
    return blob


def _pages(link: GsConnection, prefix: str) -> Iterator[list[Listed]]:
    found = link.bucket.client.list_blobs(
        link.bucket, prefix=prefix, page_size=_LISTED_AT_ONCE, retry=RETRY, timeout=TIMEOUT,
        fields="items(name,size,timeCreated),nextPageToken",
    )  # fmt: skip
    for page in found.pages:
        yield [Listed(_key(blob.name), blob.size, blob.time_created.timestamp()) for blob in page]


def _delete(link: GsConnection, name: str) -> None:
    try:
        link.bucket.blob(name).delete(retry=RETRY, timeout=TIMEOUT)
    except NotFound as error:
        if is_bucket_missing(error):
            raise


def _signed_url(link: GsConnection, name: str, ttl: timedelta) -> str | None:
    if not link.signs:
        return None
    url: str = link.bucket.blob(name).generate_signed_url(version="v4", expiration=ttl, credentials=link.credentials)
    return url


def _object(link: GsConnection, new: _New) -> Any:
    blob = link.bucket.blob(new.name)
    blob.metadata = new.metadata
    return blob


def _info(blob: Any) -> BlobInfo:
    told = (blob.metadata or {}).get(_SHA256, "")
    content_type = blob.content_type or "application/octet-stream"
    return BlobInfo(_key(blob.name), blob.size, content_type, told, f"{blob.generation}", blob.updated.timestamp())


def _name(key: str) -> str:
    name = _escaped(check_object_key(key))
    if len(name.encode()) > KEY_BYTES:
        raise InvalidFieldError("key", f"is over {KEY_BYTES} bytes long once its line breaks are written out")
    return name


def _prefix(prefix: str) -> str:
    return _escaped(check_object_key(prefix.removesuffix("/"))) + "/"


def _escaped(key: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in key)


def _key(name: str) -> str:
    return _ESCAPE.sub(lambda found: _PLAIN.get(found[0], found[0]), name)
