"""Prepares the data folder of a local grid, and says in a sentence why it cannot be used."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanogrid.errors import BadSettingError, StartError

LEAST_FREE_BYTES = 100_000_000  # for logs, and for what Redis appends before anything is noticed

_CURE = "set NANOGRID_DATA_DIR, or --data-dir, to a folder that you may write to"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_WHY = {
    errno.ENOTDIR: "is, or lies below, a file",
    errno.EEXIST: "is a file, not a folder",
    errno.EACCES: "may not be written to by you",
    errno.EPERM: "may not be written to",
    errno.EROFS: "is on a disk that is mounted read-only",
    errno.ENAMETOOLONG: "has too long a name",
    errno.ELOOP: "is a link that leads to itself",
}


def prepare_folder(data_dir: Path) -> None:
    """Make the folder, for its owner only, and write to it. BadSettingError, or StartError for a full disk."""
    with told(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir.chmod(0o700)
        (data_dir / "logs").mkdir(exist_ok=True)
        probe = data_dir / f".probe.{os.getpid()}"
        try:
            probe.write_bytes(bytes(4096))
        finally:
            probe.unlink(missing_ok=True)
        free = shutil.disk_usage(data_dir).free
    if free < LEAST_FREE_BYTES:
        raise StartError(
            f"only {free // 1_000_000} MB are left on the disk of {data_dir}; NanoGrid needs "
            f"{LEAST_FREE_BYTES // 1_000_000}: make room, or {_CURE}"
        )


@contextmanager
def told(data_dir: Path) -> Iterator[None]:
    """Turn a failure of the folder's files into a sentence: StartError, or BadSettingError. Other failures pass."""
    try:
        yield
    except OSError as failure:
        if failure.errno not in _FULL and not _is_of(data_dir, failure.filename):
            raise
        raise _explained(failure, data_dir) from None


def _is_of(data_dir: Path, filename: object) -> bool:
    """Return whether a file lies in the folder, or is one that the folder lies in."""
    if not isinstance(filename, str | bytes | os.PathLike):
        return False
    file = Path(os.fsdecode(filename))
    return file.is_relative_to(data_dir) or data_dir.is_relative_to(file)


def _explained(failure: OSError, data_dir: Path) -> StartError:
    where = failure.filename or data_dir
    if failure.errno in _FULL:
        return StartError(f"the disk of {data_dir} is full; make room, or {_CURE}")
    if failure.errno in _WHY:
        return BadSettingError(f"{where} {_WHY[failure.errno]}; {_CURE}")
    return StartError(f"{where} cannot be used: {failure.strerror or failure}; {_CURE}")
