"""The port BlobStore: named runs of bytes, there whole or not at all."""

import mimetypes
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from nanogrid.errors import InvalidFieldError

__all__ = ["CHUNK_BYTES", "BlobInfo", "BlobStore", "Listed", "check_key", "content_type_of", "open_blobs"]

CHUNK_BYTES = 1024 * 1024  # of what is streamed: the contract's most
KEY_BYTES = 1024  # S3's and GCS's most


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """The properties of a blob. `sha256` (lower-case hex) is "" where the put did not give it, or the blob changed.

    `etag` changes whenever the blob does, and `modified_s` is in seconds since 1970. Neither is known to `put`, and
    neither makes two descriptions differ.
    """

    key: str
    size_bytes: int
    content_type: str
    sha256: str = ""
    etag: str = field(default="", compare=False)
    modified_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob as a listing tells of it. `modified_s` in seconds since 1970, by the store's clock."""

    key: str
    size_bytes: int
    modified_s: float


class BlobStore(Protocol):
    """Keys as `check_key` allows. A key may also be a folder of keys. Safe for concurrent use.

    Every method raises InvalidFieldError for an impossible key and UnavailableError while the store fails.
    """

    async def put(
        self, key: str, source: Path | AsyncIterator[bytes], *, content_type: str, sha256: str = ""
    ) -> BlobInfo:
        """Store a file's bytes, or an iterator's, durably. Readers see the old blob or the new one, whole.

        An exception of the iterator, or a cancellation, passes through, and nothing is stored.
        """

    async def put_new(self, blobs: Mapping[str, bytes], *, content_type: str) -> set[str]:
        """Store small blobs durably, by key, except those whose key is taken. The keys that were stored.

        Of several callers at once, in any process, one is the first. On an error some may be stored.
        """

    async def read(self, key: str) -> bytes:
        """Return a blob as a whole, for those known to be small. NotFoundError if it is not there."""

    def list(self, prefix: str) -> AsyncIterator[Listed]:
        """List the blobs below `prefix`, which ends in `/`, in no order.

        Blobs that come or go meanwhile may be missed.
        """

    def open(self, key: str, first_byte: int = 0) -> AbstractAsyncContextManager[tuple[BlobInfo, AsyncIterator[bytes]]]:
        """Return a blob's description, and its bytes from `first_byte` on in pieces of at most CHUNK_BYTES.

        Beyond its end there are none. NotFoundError if it is not there.
        """

    async def head(self, key: str) -> BlobInfo:
        """Return a blob's description. NotFoundError if it is not there."""

    async def delete(self, key: str) -> None:
        """Delete a blob. Idempotent: deleting a missing blob is no error."""

    async def delete_below(self, prefix: str) -> None:
        """Delete every blob below `prefix`, which ends in `/`. Idempotent."""

    async def signed_url(self, key: str, ttl_s: int) -> str | None:
        """Return a URL that reads the blob without a key for `ttl_s` seconds, or None where the store cannot sign."""


def check_object_key(key: str) -> str:
    """Return the key, if it can name a blob in every store. InvalidFieldError otherwise."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidFieldError("key", "is not UTF-8") from None
    if not 1 <= size <= KEY_BYTES:
        raise InvalidFieldError("key", f"is {size} bytes long; use 1 to {KEY_BYTES}")
    if "\x00" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise InvalidFieldError("key", "has an empty, `.` or `..` part, or a NUL character")
    return key


def content_type_of(name: str) -> str:
    """Return the media type that a name's ending stands for."""
    kind, encoding = mimetypes.guess_type(name.rpartition("/")[2])
    if kind is None or encoding is not None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


@asynccontextmanager
async def open_blobs(url: str) -> AsyncIterator[BlobStore]:
    """Open the store behind `url`: `file:///absolute/folder`, `s3://bucket` or `gs://bucket`."""
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        from services.artifacts.blobs.file import open_file_blobs  # noqa: PLC0415 - an adapter is loaded on use

        with open_file_blobs(Path(unquote(parts.path))) as store:
            yield store
    elif parts.scheme == "s3" and parts.netloc:
        from services.artifacts.blobs.s3 import open_s3_blobs  # noqa: PLC0415 - see above

        async with open_s3_blobs(parts.netloc) as store:
            yield store
    elif parts.scheme == "gs" and parts.netloc:
        from services.artifacts.blobs.gs import open_gs_blobs  # noqa: PLC0415 - see above

        async with open_gs_blobs(parts.netloc) as store:
            yield store
    else:
        able = "file:///absolute/folder, s3://bucket or gs://bucket"
        raise ValueError(f"NANOGRID_ARTIFACTS_CODE_URL, …_DATA_URL, …_ARCHIVE_URL: {url!r} is not known; use {able}")
