"""Collects the files that a call left in /output. No link is followed, because hostile code wrote the folder."""

import os
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nanogrid.v1.resources_pb2 import OutputFile
from services.executor.sandbox import CallError

_CHUNK = 1024 * 1024
_MAX_DEPTH = 32  # folders inside each other
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")  # artifacts refuses these: stores and browsers treat them differently
_PATH_BYTES = 800  # with `outputs/{job_id}/` before it, within the 1024 bytes of an object key

# Stores one file: job id, path below /output, its bytes.
StoreOutput = Callable[[str, str, AsyncIterator[bytes]], Awaitable[OutputFile]]


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """Limits on the files that one job may leave in /output."""

    files: int = 1000
    size_bytes: int = 1_000_000_000


class OutputRefusedError(Exception):
    """The output files cannot be stored. `error` is the job's error."""

    def __init__(self, error: CallError) -> None:
        super().__init__(error.message)
        self.error = error


def is_empty(folder: Path) -> bool:
    """Return whether a call left nothing, as most calls do. Costs one system call."""
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def refuse_if_full(folder: Path, error: CallError | None) -> None:
    """Raise OutputRefusedError when the volume behind /output is full, so that something written there was lost.

    The handler's own error becomes the stack. Any other failure takes precedence over lost output.
    """
    if is_empty(folder) or (error is not None and error.type not in ("HandlerError", "ExitError")):
        return
    room = os.statvfs(folder)
    if room.f_bavail == 0 or room.f_favail == 0:
        size = room.f_blocks * room.f_frsize
        message = f"/output is full: what did not fit into its {size} bytes and {room.f_files} files is lost"
        raise OutputRefusedError(CallError("OutputTooLarge", message, error.stack if error else ""))


async def collect(job_id: str, folder: Path, limits: OutputLimits, store: StoreOutput) -> list[OutputFile]:
    """Store every regular file below `folder` under its relative path. Skip links, sockets and devices.

    OutputRefusedError (`OutputTooLarge`, `ResultInvalid`) before anything is stored. Blocks on the local disk only.
    """
    if is_empty(folder):
        return []
    found = list(_regular_files(folder))
    if len(found) > limits.files:
        message = f"/output holds {len(found)} files; the limit is {limits.files}: put them into one archive"
        raise OutputRefusedError(CallError("OutputTooLarge", message))
    if (size := sum(size for _, size in found)) > limits.size_bytes:
        message = f"/output holds {size} bytes; the limit is {limits.size_bytes} bytes"
        raise OutputRefusedError(CallError("OutputTooLarge", message))
    return [await store(job_id, path, _read(folder, path)) for path, _ in found]


def _regular_files(folder: Path) -> Iterator[tuple[str, int]]:
    for parent, folders, files, fd in os.fwalk(folder, follow_symlinks=False):
        relative = os.path.relpath(parent, folder)
        if relative.count("/") >= _MAX_DEPTH:
            folders.clear()
        folders.sort()
        for name in sorted(files):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield _checked(name if relative == "." else f"{relative}/{name}"), status.st_size


def _checked(path: str) -> str:
    shown = path.encode(errors="backslashreplace").decode()
    if shown != path or _UNSAFE.search(path):
        message = f"/output holds a file whose name is not UTF-8, or holds a control character or backslash: {shown!r}"
        raise OutputRefusedError(CallError("ResultInvalid", message))
    if len(path.encode()) > _PATH_BYTES:
        message = f"/output holds a path of {len(path.encode())} bytes; the limit is {_PATH_BYTES} bytes"
        raise OutputRefusedError(CallError("ResultInvalid", message))
    return path


async def _read(folder: Path, path: str) -> AsyncIterator[bytes]:
    with open(_open_below(folder, path), "rb") as file:  # noqa: ASYNC230 - a file on the local disk
        while chunk := file.read(_CHUNK):
            yield chunk


def _open_below(folder: Path, path: str) -> int:
    """Open a file without following a link in any part of its path, because leftover processes may still change it."""
    *parents, name = path.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        # O_NONBLOCK, because the file may have been replaced by a FIFO.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
