"""The ports FunctionStore, UploadStore and KeyStore: the tables that only the registry opens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from nanogrid.errors import ConflictError
from nanogrid.v1.resources_pb2 import ApiKey, Function

__all__ = [
    "FunctionStore",
    "KeyRecord",
    "KeyStore",
    "NamedUpload",
    "Store",
    "UploadStore",
    "open_store",
    "reservation_lost",
]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is kept: its public part, and the SHA-256 (hex) of the whole secret."""

    key: ApiKey
    digest: str


@dataclass(frozen=True, slots=True)
class NamedUpload:
    """An upload that its caller named. Open as long as it has no fingerprint. Then it has made a function.

    `name` is unique among the uploads of all principals. At `free_at_us` (µs since 1970) another may take the name.
    """

    name: str
    reservation_id: str
    free_at_us: int
    fingerprint: str = ""
    function_id: str = ""


def reservation_lost() -> ConflictError:
    """Return the error for an upload that is not there to be completed."""
    return ConflictError(
        "this upload took so long that another under the same Idempotency-Key took its place, or it was given up; "
        "send it again to get what the other made",
        field="idempotency_key",
    )


class FunctionStore(Protocol):
    """Functions by id, and by owner and name. Every method raises UnavailableError while the backend is down.

    Shaped so that no method that a call waits for reads more than it returns: a key-value table with an index will do.
    """

    async def insert_function(self, function: Function, upload: NamedUpload | None = None) -> None:
        """Record a function unless its id is taken: ConflictError then, and nothing is changed.

        `upload` is recorded in the same step. It completes the open one of the same name and reservation: ConflictError
        when that is not there, and nothing is changed.
        """

    async def get_function(self, function_id: str) -> Function:
        """Read one. NotFoundError when it is not there."""

    async def newest_function(self, owner: str, name: str) -> Function:
        """Return the owner's newest of this name. NotFoundError when there is none."""

    async def page_functions(self, owner: str | None, size: int, page_token: str) -> tuple[list[Function], str]:
        """Return an owner's functions, newest first, and the next page's token ("" on the last). None = of every owner.

        InvalidFieldError for a token that is none of ours.
        """

    async def delete_function(self, function_id: str) -> Function:
        """Forget one and return it as it was. NotFoundError when it is not there. Of two at once, one gets that."""


class UploadStore(Protocol):
    """Uploads by name. Of several steps at once, each is whole. Every method raises UnavailableError when down.

    A record is forgotten at some time after a day of being free. Until then an open one can be completed.
    """

    async def reserve_upload(self, upload: NamedUpload, now_us: int) -> NamedUpload | None:
        """Record an open upload where its name is free at `now_us`, or open under the same reservation. None then.

        Where the name is taken, the holder is returned, and nothing is changed.
        """

    async def release_upload(self, upload: NamedUpload) -> NamedUpload | None:
        """Forget an upload if it still has this reservation and fingerprint.

        None when nothing is left under its name, else the upload that stays there.
        """


class KeyStore(Protocol):
    """API keys by their public part. Every method raises UnavailableError while the backend is down."""

    async def insert_key(self, record: KeyRecord) -> None:
        """Record a key unless its id is taken: ConflictError then."""

    async def get_key(self, key_id: str) -> KeyRecord:
        """Read one, revoked or not. NotFoundError when it never was."""

    async def page_keys(self, size: int, page_token: str) -> tuple[list[ApiKey], str]:
        """Return keys, newest first, and the next page's token. InvalidFieldError for a token that is none of ours."""

    async def revoke_key(self, key_id: str, at_us: int) -> ApiKey:
        """Mark a key revoked at `at_us` (µs since 1970), or leave it as it is when it already was.

        NotFoundError when it never was.
        """


class Store(FunctionStore, UploadStore, KeyStore, Protocol):
    """All of them, behind one URL."""


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open the store behind `url`: `sqlite:///absolute/path.db` or `dynamodb://FunctionsTable?keys=KeysTable`."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from services.registry.store.sqlite import open_sqlite_store  # noqa: PLC0415 - an adapter loads its SDK on use

        async with open_sqlite_store(url) as store:
            yield store
    elif scheme == "dynamodb":
        from services.registry.store.dynamodb import open_dynamodb_store  # noqa: PLC0415 - see above

        async with open_dynamodb_store(url) as store:
            yield store
    else:
        able = "sqlite:///absolute/path.db or dynamodb://NanoGridFunctions"
        raise ValueError(f"NANOGRID_REGISTRY_STORE_URL: scheme {scheme!r} is not known; use {able}")
