"""The embedded BlobStore: a folder, one file per blob."""

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import orjson

from nanogrid.errors import NotFoundError, UnavailableError
from services.artifacts.blobs import CHUNK_BYTES, BlobInfo, content_type_of
from services.artifacts.blobs.paths import folder_of, path_of
from services.artifacts.spool import Spool, open_spool, write_chunks

_TEMPORARY = "%tmp"  # neither name is that of any key: see paths
_ABOUT = "%meta"

_TRIES = 20  # a folder may be pruned by a delete just before a put moves its file there
_OPEN_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO that someone put there must not hold a thread


@dataclass(frozen=True, slots=True)
class _About:
    """What a put said about a blob, and the very file it said it about: one replaced by hand is another file."""

    content_type: str
    sha256: str
    size_bytes: int
    modified_ns: int
    inode: int


@contextmanager
def open_file_blobs(root: Path) -> Iterator["FileBlobs"]:
    """Open the store in a folder, which is made if need be. Several processes may."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_spool(root / _TEMPORARY) as spool:
        yield FileBlobs(root, spool)


class FileBlobs:
    """Blobs as files below `root`. A put is a rename of a complete, synced file; a reader keeps the file it opened."""

    def __init__(self, root: Path, spool: Spool) -> None:
        self._root = root
        self._spool = spool

    async def put(
        self, key: str, source: Path | AsyncIterator[bytes], *, content_type: str, sha256: str = ""
    ) -> BlobInfo:
        path = path_of(key)
        with self._spool.file() as temporary, self._spool.file() as about, _translated():
            if isinstance(source, Path):
                await asyncio.to_thread(shutil.copyfile, source, temporary)
            else:
                await write_chunks(temporary, source)
            size = await asyncio.to_thread(self._place, path, temporary, about, content_type, sha256)
        return BlobInfo(key, size, content_type, sha256)

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[tuple[BlobInfo, AsyncIterator[bytes]]]:
        with _translated(key):
            info, file = await asyncio.to_thread(self._open, key)
        with file:
            yield info, _chunks(key, file)

    async def head(self, key: str) -> BlobInfo:
        with _translated(key):
            info, file = await asyncio.to_thread(self._open, key)
        file.close()
        return info

    async def delete(self, key: str) -> None:
        path = path_of(key)
        with _translated(key):
            await asyncio.to_thread(self._remove, path)

    async def delete_below(self, prefix: str) -> None:
        folder = folder_of(prefix)
        with _translated(prefix):
            await asyncio.to_thread(self._remove_tree, folder)

    async def signed_url(self, key: str, ttl_s: int) -> str | None:  # noqa: ARG002 - a folder has no address
        path_of(key)
        return None

    def _place(self, path: PurePosixPath, temporary: Path, about: Path, content_type: str, sha256: str) -> int:
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            found = os.fstat(file.fileno())
        said = _About(content_type, sha256, found.st_size, found.st_mtime_ns, found.st_ino)
        about.write_bytes(orjson.dumps(asdict(said)))
        # First what is said: it is about a file that is not there yet, and until then it is believed by nobody.
        _move(about, self._root / _ABOUT / path)
        target = self._root / path
        highest = target.parent if target.parent.exists() else self._root
        _move(temporary, target)
        _sync_folders(target.parent, highest)
        return found.st_size

    def _open(self, key: str) -> tuple[BlobInfo, BinaryIO]:
        path = path_of(key)
        descriptor = os.open(self._root / path, _OPEN_FILE)
        file = os.fdopen(descriptor, "rb") if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        if file is None:
            os.close(descriptor)
            raise FileNotFoundError
        found = os.fstat(descriptor)
        said = self._said_about(path)
        if said is None or (said.size_bytes, said.modified_ns, said.inode) != (
            found.st_size,
            found.st_mtime_ns,
            found.st_ino,
        ):
            return BlobInfo(key, found.st_size, content_type_of(key)), file
        return BlobInfo(key, found.st_size, said.content_type, said.sha256), file

    def _said_about(self, path: PurePosixPath) -> _About | None:
        try:
            return _About(**orjson.loads((self._root / _ABOUT / path).read_bytes()))
        except (OSError, ValueError, TypeError):  # never said, or cut off by a crash
            return None

    def _remove(self, path: PurePosixPath) -> None:
        for base in (self._root, self._root / _ABOUT):
            (base / path).unlink(missing_ok=True)
            _prune((base / path).parent, base)

    def _remove_tree(self, folder: PurePosixPath) -> None:
        for base in (self._root, self._root / _ABOUT):
            with suppress(FileNotFoundError):
                shutil.rmtree(base / folder)
            _prune((base / folder).parent, base)


async def _chunks(key: str, file: BinaryIO) -> AsyncIterator[bytes]:
    with _translated(key):
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


@contextmanager
def _translated(wanted: str = "") -> Iterator[None]:
    """No OSError leaves the adapter; one that means that the wanted blob is not there is NotFoundError."""
    try:
        yield
    except OSError as error:
        if wanted and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise NotFoundError(f"{wanted} is not there", field="key") from error
        raise UnavailableError(f"the object store failed: {error.strerror}; try again") from error


def _move(source: Path, target: Path) -> None:
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source.replace(target)
            return
    raise UnavailableError("the object store cannot place a file; try again")


def _sync_folders(lowest: Path, highest: Path) -> None:
    """Make durable what the folders from one up to the other list."""
    for folder in (lowest, *lowest.parents):
        with suppress(FileNotFoundError):  # deleted meanwhile
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if folder == highest:
            return


def _prune(folder: Path, base: Path) -> None:
    """Remove folders that became empty."""
    with suppress(OSError):  # not empty, or gone
        while folder != base:
            folder.rmdir()
            folder = folder.parent
