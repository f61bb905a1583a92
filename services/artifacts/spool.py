"""The spool: files on disk that must not outlive their use, nor the process."""

import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from services.artifacts.threads import finish

log = logger()

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Spool:
    """A folder of this process alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Return a path of a file to be. A file that is there at the end of the block is removed.

        An OSError inside the block, such as a full disk, becomes UnavailableError.
        """
        path = self._folder / secrets.token_hex(8)
        try:
            yield path
        except OSError as error:
            raise UnavailableError(f"the spool failed: {error.strerror}; try again") from error
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def open_spool(root: Path) -> Iterator[Spool]:
    """Make a spool below `root`, after removing those of dead processes."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(root)
    folder, lock = _claim(root)
    try:
        yield Spool(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(root: Path) -> int:
    """Remove every spool below `root` that no living process holds. Say how many there were."""
    removed = 0
    for folder in root.iterdir():
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            removed += 1
    if removed:
        log.info("spools of dead processes removed", count=removed)
    return removed


async def write_chunks(path: Path, chunks: AsyncIterator[bytes]) -> int:
    """Write the iterator's chunks to a new file. Say how many bytes there were."""
    size = 0
    with ExitStack() as held:  # closes the file also where the caller is cancelled while it is being opened
        file = await finish(lambda: held.enter_context(path.open("xb")))
        async for chunk in chunks:
            await finish(file.write, chunk)
            size += len(chunk)
    return size


async def read_chunks(path: Path, chunk_bytes: int) -> AsyncIterator[bytes]:
    """Return a file's bytes in pieces."""
    with ExitStack() as held:
        file = await finish(lambda: held.enter_context(path.open("rb")))
        while chunk := await finish(file.read, chunk_bytes):
            yield chunk


def _claim(root: Path) -> tuple[Path, int]:
    while True:
        folder = root / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        lock = _lock(folder)
        if lock is None:  # another process that starts now took it for a dead one's
            continue
        if folder.exists():
            return folder, lock
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Hold a spool's folder for as long as the descriptor is open.

    None while another process holds it, or it is gone.
    """
    try:
        descriptor = os.open(folder, _OPEN_FOLDER)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
