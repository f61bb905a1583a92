"""Holds the objects of the Google Cloud Storage stand-in, by the rules that the real service documents."""

import base64
import hashlib
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import google_crc32c

PIECE = 256 * 1024  # chunks of a resumable upload are multiples of it, except the last
NAME_BYTES = 1024
PAGE = 1000


class Refusal(Exception):  # noqa: N818 - it is an HTTP answer
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Stored:
    bucket: str
    name: str
    content: bytes
    generation: int
    content_type: str
    metadata: dict[str, str]
    created_s: float

    @property
    def crc32c(self) -> str:
        return base64.b64encode(google_crc32c.value(self.content).to_bytes(4, "big")).decode()

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.content).digest()).decode()

    def resource(self, address: str) -> dict[str, Any]:
        path = f"/storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"
        created = f"{datetime.fromtimestamp(self.created_s, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        return {
            "kind": "storage#object", "bucket": self.bucket, "name": self.name, "generation": str(self.generation),
            "metageneration": "1", "contentType": self.content_type, "size": str(len(self.content)),
            "crc32c": self.crc32c, "md5Hash": self.md5, "timeCreated": created, "updated": created,
            "metadata": self.metadata, "mediaLink": f"{address}/download{path}?generation={self.generation}&alt=media",
        }  # fmt: skip


@dataclass
class Session:
    """An unfinished upload."""

    bucket: str
    query: dict[str, str]
    resource: dict[str, Any]
    content_type: str
    content: bytearray = field(default_factory=bytearray)
    stored: Stored | None = None

    @property
    def name(self) -> str:
        return self.resource.get("name") or self.query.get("name", "")


class Objects:
    """All objects by bucket and name. Not thread-safe: the server locks."""

    def __init__(self, buckets: Iterable[str]) -> None:
        self.all: dict[tuple[str, str], Stored] = {}
        self._buckets = set(buckets)
        self._generations = itertools.count(1_700_000_000_000_000)

    def check_bucket(self, bucket: str) -> None:
        if bucket not in self._buckets:
            raise Refusal(404, "The specified bucket does not exist.")

    def check(self, session: Session) -> None:
        """Check bucket, name and preconditions, before the upload and again before the object is stored."""
        self.check_bucket(session.bucket)
        name = session.name
        if not 1 <= len(name.encode()) <= NAME_BYTES or {"\r", "\n"} & set(name) or name in {".", ".."}:
            raise Refusal(400, "Invalid object name")
        self._check_generation(self.all.get((session.bucket, name)), session.query)

    def insert(self, session: Session, crc32c: str | None) -> Stored:
        self.check(session)
        told = session.resource
        stored = Stored(
            session.bucket,
            session.name,
            bytes(session.content),
            next(self._generations),
            told.get("contentType") or session.content_type or "application/octet-stream",
            told.get("metadata") or {},
            time.time(),
        )
        if any(said not in {None, stored.crc32c} for said in (crc32c, told.get("crc32c"))):
            raise Refusal(400, "Provided CRC32C does not match the calculated one")
        if told.get("md5Hash") not in {None, stored.md5}:
            raise Refusal(400, "Provided MD5 hash does not match the calculated one")
        self.all[session.bucket, session.name] = stored
        return stored

    def find(self, bucket: str, name: str, query: dict[str, str]) -> Stored:
        self.check_bucket(bucket)
        stored = self.all.get((bucket, name))
        if stored is None or query.get("generation") not in {None, str(stored.generation)}:
            raise Refusal(404, f"No such object: {bucket}/{name}")
        return stored

    def delete(self, bucket: str, name: str, query: dict[str, str]) -> None:
        self._check_generation(self.find(bucket, name, query), query)
        del self.all[bucket, name]

    def page(self, bucket: str, query: dict[str, str]) -> tuple[list[Stored], str]:
        self.check_bucket(bucket)
        prefix, after = query.get("prefix", ""), query.get("pageToken", "")
        names = sorted(name for where, name in self.all if where == bucket and name.startswith(prefix) and name > after)
        size = min(PAGE, int(query.get("maxResults") or PAGE))
        following = names[size - 1] if len(names) > size else ""
        return [self.all[bucket, name] for name in names[:size]], following

    def _check_generation(self, stored: Stored | None, query: dict[str, str]) -> None:
        wanted = query.get("ifGenerationMatch")
        if wanted is not None and int(wanted) != (stored.generation if stored else 0):
            raise Refusal(412, "At least one of the pre-conditions you specified did not hold.")
