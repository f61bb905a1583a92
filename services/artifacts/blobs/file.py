"""The embedded BlobStore: a folder, one file per blob."""

import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import orjson

from nanogrid.errors import NotFoundError, UnavailableError
from services.artifacts.blobs import CHUNK_BYTES, BlobInfo, Listed, content_type_of
from services.artifacts.blobs.batch import write_new
from services.artifacts.blobs.paths import DIGESTED, folder_of, key_of, path_of
from services.artifacts.spool import Spool, open_spool, write_chunks
from services.artifacts.threads import finish

_TEMPORARY = "%tmp"  # neither name is that of any key: see paths
_ABOUT = "%meta"

_AT_ONCE = 64  # small blobs written together; each holds a descriptor
_LISTED_AT_ONCE = 1000
_TRIES = 20  # a folder may be pruned by a delete just before a put moves its file there


@dataclass(frozen=True, slots=True)
class _About:
    """The properties that a put gave to a blob, and the identity of its file: a file replaced by hand is another."""

    content_type: str
    sha256: str
    size_bytes: int
    modified_ns: int
    inode: int
    key: str = ""  # where the path does not tell it

    def is_about(self, found: os.stat_result) -> bool:
        """Tell whether this was said about the file found."""
        return (self.size_bytes, self.modified_ns, self.inode) == (found.st_size, found.st_mtime_ns, found.st_ino)


@contextmanager
def open_file_blobs(root: Path) -> Iterator["FileBlobs"]:
    """Open the store in a folder, which is made if need be. Several processes may."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_spool(root / _TEMPORARY) as spool:
        yield FileBlobs(root, spool)


class FileBlobs:
    """Blobs as files below `root`. A put is a rename of a complete, synced file. A reader keeps the file it opened."""

    def __init__(self, root: Path, spool: Spool) -> None:
        self._root = root
        self._spool = spool

    async def put(
        self, key: str, source: Path | AsyncIterator[bytes], *, content_type: str, sha256: str = ""
    ) -> BlobInfo:
        path = path_of(key)
        with self._spool.file() as temporary, self._spool.file() as about, _translated():
            if isinstance(source, Path):
                await finish(shutil.copyfile, source, temporary)
            else:
                await write_chunks(temporary, source)
            said = await finish(_synced, temporary, key, content_type, sha256)
            # Until here a cancellation leaves nothing.
            await finish(self._place, path, temporary, about, said)
        return BlobInfo(key, said.size_bytes, content_type, sha256)

    async def put_new(self, blobs: Mapping[str, bytes], *, content_type: str) -> set[str]:
        paths = {key: path_of(key) for key in blobs}
        stored: set[str] = set()
        waiting = iter(paths)
        while now := [*islice(waiting, _AT_ONCE)]:
            with self._spool.file() as temporary, _translated():
                some = {key: (paths[key], blobs[key]) for key in now}
                stored |= await finish(self._place_new, temporary, some, content_type)
        return stored

    async def read(self, key: str) -> bytes:
        path = self._root / path_of(key)
        with _translated(key):
            return await finish(_read, path)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        walk = self._walk(folder_of(prefix))
        with _translated(prefix):
            while found := await finish(lambda: [*islice(walk, _LISTED_AT_ONCE)]):
                for one in found:
                    yield one

    @asynccontextmanager
    async def open(self, key: str, first_byte: int = 0) -> AsyncIterator[tuple[BlobInfo, AsyncIterator[bytes]]]:
        with ExitStack() as held:  # closes the file also where the caller is cancelled while it is being opened
            with _translated(key):
                info, file = await finish(self._open, key, held)
                file.seek(first_byte)
            yield info, _chunks(key, file)

    async def head(self, key: str) -> BlobInfo:
        with ExitStack() as held, _translated(key):
            info, _ = await finish(self._open, key, held)
        return info

    async def delete(self, key: str) -> None:
        path = path_of(key)
        with _translated(key):
            await finish(self._remove, path)

    async def delete_below(self, prefix: str) -> None:
        folder = folder_of(prefix)
        with _translated(prefix):
            await finish(self._remove_tree, folder)

    async def signed_url(self, key: str, ttl_s: int) -> str | None:  # noqa: ARG002 - a folder has no address
        path_of(key)
        return None

    def _place(self, path: PurePosixPath, temporary: Path, about: Path, said: _About) -> None:
        # First what is said: it is about a file that is not there yet, and until then it is believed by nobody.
        self._say(about, path, said)
        target = self._root / path
        highest = target.parent if target.parent.exists() else self._root
        _move(temporary, target)
        _sync_folders(target.parent, highest)

    def _place_new(
        self, temporary: Path, blobs: Mapping[str, tuple[PurePosixPath, bytes]], content_type: str
    ) -> set[str]:
        keys = {f"{self._root}/{path}": key for key, (path, _) in blobs.items()}
        folders = {path.rpartition("/")[0] for path in keys}
        made = {folder for folder in folders if not Path(folder).exists()}
        written = write_new(temporary, {path: blobs[key][1] for path, key in keys.items()})
        for path in written:
            if DIGESTED in path or content_type_of(keys[path]) != content_type:  # else the path says it all
                self._say(temporary, blobs[keys[path]][0], _about(Path(path), keys[path], content_type, ""))
        for folder in folders:
            _sync_folders(Path(folder), self._root if folder in made else Path(folder))
        return {keys[path] for path in written}

    def _say(self, temporary: Path, path: PurePosixPath, said: _About) -> None:
        temporary.write_bytes(orjson.dumps(asdict(said)))
        _move(temporary, self._root / _ABOUT / path)

    def _walk(self, folder: PurePosixPath) -> Iterator[Listed]:
        """Return every blob in a folder and those below."""
        pending = [str(folder)]
        while pending:
            here = pending.pop()
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._root / here) as entries:
                for entry in entries:
                    path = f"{here}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    elif entry.is_file() and (key := self._key_of(path)):
                        found = entry.stat()
                        yield Listed(key, found.st_size, found.st_mtime)

    def _key_of(self, path: str) -> str | None:
        if DIGESTED not in path:
            return key_of(path)
        said = self._said_about(PurePosixPath(path))
        return said.key if said and said.key and str(path_of(said.key)) == path else None

    def _open(self, key: str, held: ExitStack) -> tuple[BlobInfo, BinaryIO]:
        path = path_of(key)
        target = self._root / path
        if not stat.S_ISREG(target.stat().st_mode):  # a FIFO would hold the thread until somebody writes to it
            raise FileNotFoundError
        file = held.enter_context(target.open("rb"))
        found = os.fstat(file.fileno())
        said = self._said_about(path)
        if said is None or not said.is_about(found):
            said = _About(content_type_of(key), "", found.st_size, found.st_mtime_ns, found.st_ino)
        etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
        return BlobInfo(key, found.st_size, said.content_type, said.sha256, etag, found.st_mtime), file

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
        while chunk := await finish(file.read, CHUNK_BYTES):
            yield chunk


@contextmanager
def _translated(wanted: str = "") -> Iterator[None]:
    """Let no OSError leave the adapter. One that means that the wanted blob is not there is NotFoundError."""
    try:
        yield
    except OSError as error:
        if wanted and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise NotFoundError(f"{wanted} is not there", field="key") from error
        raise UnavailableError(f"the object store failed: {error.strerror}; try again") from error


def _read(path: Path) -> bytes:
    if not path.is_file():  # see _open
        raise FileNotFoundError
    return path.read_bytes()


def _synced(path: Path, key: str, content_type: str, sha256: str) -> _About:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _about(path, key, content_type, sha256)


def _about(path: Path, key: str, content_type: str, sha256: str) -> _About:
    found = path.stat()
    return _About(content_type, sha256, found.st_size, found.st_mtime_ns, found.st_ino, key)


def _move(source: Path, target: Path) -> None:
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source.replace(target)
            return
    raise UnavailableError("the object store cannot place a file; try again")


def _sync_folders(lowest: Path, highest: Path) -> None:
    """Make durable the listings of the folders from one up to the other."""
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
