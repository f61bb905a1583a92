"""A BlobStore in front of another one, with failures on demand."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from nanogrid.errors import UnavailableError
from services.artifacts.blobs import BlobInfo, BlobStore, Listed


class FaultyBlobs:
    def __init__(self, real: BlobStore) -> None:
        self.real = real
        self.down = False
        self.cursed: dict[str, Exception] = {}  # keys that always fail, with their errors
        self.counts: Counter[str] = Counter()

    def _called(self, method: str, *keys: str) -> None:
        self.counts[method] += 1
        for key in keys:
            if key in self.cursed:
                raise self.cursed[key]
        if self.down:
            raise UnavailableError("it is down")

    async def put(
        self, key: str, source: Path | AsyncIterator[bytes], *, content_type: str, sha256: str = ""
    ) -> BlobInfo:
        self._called("put", key)
        return await self.real.put(key, source, content_type=content_type, sha256=sha256)

    async def put_new(self, blobs: Mapping[str, bytes], *, content_type: str) -> set[str]:
        self._called("put_new", *blobs)
        return await self.real.put_new(blobs, content_type=content_type)

    async def read(self, key: str) -> bytes:
        self._called("read", key)
        return await self.real.read(key)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        self._called("list")
        async for one in self.real.list(prefix):
            yield one

    @asynccontextmanager
    async def open(self, key: str, first_byte: int = 0) -> AsyncIterator[tuple[BlobInfo, AsyncIterator[bytes]]]:
        self._called("open", key)
        async with self.real.open(key, first_byte) as found:
            yield found

    async def head(self, key: str) -> BlobInfo:
        self._called("head", key)
        return await self.real.head(key)

    async def delete(self, key: str) -> None:
        self._called("delete", key)
        await self.real.delete(key)

    async def delete_below(self, prefix: str) -> None:
        self._called("delete_below")
        await self.real.delete_below(prefix)

    async def signed_url(self, key: str, ttl_s: int) -> str | None:
        self._called("signed_url", key)
        return await self.real.signed_url(key, ttl_s)
