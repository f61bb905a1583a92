"""Caches unpacked bundles on disk by digest, bounded, and evicts the least recently used ones."""

import asyncio
import hashlib
import secrets
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from nanogrid.bundle import BundleLimits, unpack
from nanogrid.logs import logger

log = logger()

# Streams a bundle by its key: the digest first, then its bytes.
FetchBundle = Callable[[str], AsyncIterator[str | bytes]]


class CodeCache:
    """Folders named by digest below `root`, together at most `size_bytes` (more only while all of it is in use).

    Concurrent requests for one bundle share one download. Leftovers of a crash are removed at start.
    """

    def __init__(self, root: Path, size_bytes: int, fetch: FetchBundle, limits: BundleLimits) -> None:
        self._root = root
        self._size_bytes = size_bytes
        self._fetch = fetch
        self._limits = limits
        self._sizes: OrderedDict[str, int] = OrderedDict()  # digest -> bytes, least recently used first
        self._in_use: dict[str, int] = {}
        self._fetching: dict[str, asyncio.Lock] = {}
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)

    @asynccontextmanager
    async def checked_out(self, s3_key: str, digest: str) -> AsyncIterator[Path]:
        """Yield the folder of a bundle's code, safe from eviction inside the block.

        Without a `digest`, "", artifacts is asked every time. NotFoundError when there is no such bundle,
        ArchiveRejectedError when it is hostile.
        """
        lock = self._fetching.setdefault(s3_key, asyncio.Lock())
        async with AsyncExitStack() as held:
            async with lock:
                if digest not in self._sizes:
                    digest = await self._download(s3_key)
                folder = held.enter_context(self._in_use_here(digest))
            if not lock.locked():
                self._fetching.pop(s3_key, None)
            await self._make_room()
            yield folder

    @asynccontextmanager
    async def written(self, name: str, source: bytes) -> AsyncIterator[Path]:
        """Yield a folder with one source file at the relative path `name`, safe from eviction inside the block."""
        # The hash of a hash, which no bundle can share, because bundles are zips.
        inner = hashlib.sha256(name.encode() + b"\n" + source).digest()
        digest = hashlib.sha256(b"inline" + inner).hexdigest()
        if digest not in self._sizes:
            await self._write(digest, name, source)
        with self._in_use_here(digest) as folder:
            await self._make_room()
            yield folder

    @contextmanager
    def _in_use_here(self, digest: str) -> Iterator[Path]:
        """Protect a folder from eviction. Enter without an await after it was found, or it may be evicted before."""
        self._in_use[digest] = self._in_use.get(digest, 0) + 1
        self._sizes.move_to_end(digest)
        try:
            yield self._root / digest
        finally:
            self._in_use[digest] -= 1
            if not self._in_use[digest]:
                del self._in_use[digest]

    async def _write(self, digest: str, name: str, source: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=self._root, prefix="incoming-") as folder:
            code = Path(folder, "code")
            await asyncio.to_thread(_write, code, name, source)
            self._keep(digest, code, len(source))

    def _keep(self, digest: str, folder: Path, size: int) -> None:
        if digest not in self._sizes:  # another download may have added the same code
            folder.rename(self._root / digest)
            self._sizes[digest] = size

    async def _download(self, s3_key: str) -> str:
        with tempfile.TemporaryDirectory(dir=self._root, prefix="incoming-") as folder:
            bundle, unpacked = Path(folder, "code.zip"), Path(folder, "code")
            digest = await self._receive(s3_key, bundle)
            if digest in self._sizes:
                return digest
            size = await asyncio.to_thread(_unpack, bundle, unpacked, self._limits)
            self._keep(digest, unpacked, size)
        return digest

    async def _receive(self, s3_key: str, bundle: Path) -> str:
        seen = hashlib.sha256()
        with bundle.open("wb") as file:
            async for part in self._fetch(s3_key):
                if isinstance(part, str):
                    if part in self._sizes:
                        return part
                    continue
                seen.update(part)
                await asyncio.to_thread(file.write, part)
        return seen.hexdigest()

    async def _make_room(self) -> None:
        for digest in list(self._sizes):
            if sum(self._sizes.values()) <= self._size_bytes:
                return
            if digest in self._sizes and digest not in self._in_use:
                del self._sizes[digest]
                # Renamed first, because the same code may be needed again before it is deleted.
                gone = (self._root / digest).rename(self._root / f"gone-{secrets.token_hex(8)}")
                await asyncio.to_thread(shutil.rmtree, gone)
                log.info("code evicted", digest=digest)


def _write(folder: Path, name: str, source: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_bytes(source)
    for made in (folder, *folder.rglob("*")):  # independent of the umask
        made.chmod(0o755 if made.is_dir() else 0o644)


def _unpack(bundle: Path, destination: Path, limits: BundleLimits) -> int:
    unpack(bundle, destination, limits)
    return sum(path.lstat().st_size for path in destination.rglob("*"))
