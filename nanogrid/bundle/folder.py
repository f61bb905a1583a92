"""Unpacking: an inspected zip becomes a folder, or nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nanogrid.bundle.gate import inspect_open
from nanogrid.bundle.inflate import content
from nanogrid.bundle.model import Bundle, BundleLimits, Entry, Source, opened

_FOLDER_MODE = 0o755
_FILE_MODE, _PROGRAM_MODE = 0o644, 0o755
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(source: Source, destination: Path, limits: BundleLimits) -> Bundle:
    """Inspect the zip and write it into `destination`, a new or empty folder whose parent exists.

    Files are 0644, or 0755 if any x bit is set. Folders are 0755. On any failure the content written so far is removed,
    and the folder too if it was made here. Only a killed process leaves a part. ArchiveRejectedError and TooLargeError
    as from `inspect` and `verify`. FileExistsError if the folder is not empty. Other OSErrors come from the file
    system.
    """
    with opened(source) as file:
        bundle = inspect_open(file, limits)
        with _whole_or_nothing(destination) as root:
            for entry in bundle.entries:
                _write(file, entry, root)
        return bundle


@contextmanager
def _whole_or_nothing(destination: Path) -> Iterator[int]:
    made = _make(destination)
    root = os.open(destination, _OPEN_FOLDER)
    try:
        os.fchmod(root, _FOLDER_MODE)
        yield root
    except BaseException:
        _clear(root)
        if made:
            destination.rmdir()
        raise
    finally:
        os.close(root)


def _make(destination: Path) -> bool:
    try:
        destination.mkdir(_FOLDER_MODE)
    except FileExistsError:
        if destination.is_symlink() or any(destination.iterdir()):
            raise
        return False
    return True


def _clear(root: int) -> None:
    for name in os.listdir(root):
        try:
            os.unlink(name, dir_fd=root)
        except IsADirectoryError:
            shutil.rmtree(name, dir_fd=root)


def _write(file: BinaryIO, entry: Entry, root: int) -> None:
    *parents, name = entry.name.split("/")
    folder = _enter(root, [*parents, name] if entry.is_folder else parents)
    try:
        if not entry.is_folder:
            _write_file(file, entry, folder, name)
    finally:
        os.close(folder)


def _enter(root: int, parts: list[str]) -> int:
    """Open the folder below `root`, making missing folders. A link on the way is an error, never followed."""
    folder = os.dup(root)
    for part in parts:
        try:
            os.mkdir(part, _FOLDER_MODE, dir_fd=folder)
            made = True
        except FileExistsError:
            made = False
        try:
            below = os.open(part, _OPEN_FOLDER, dir_fd=folder)
        finally:
            os.close(folder)
        folder = below
        if made:
            os.fchmod(folder, _FOLDER_MODE)  # whatever the umask
    return folder


def _write_file(file: BinaryIO, entry: Entry, folder: int, name: str) -> None:
    mode = _PROGRAM_MODE if entry.is_executable else _FILE_MODE
    with os.fdopen(os.open(name, _CREATE_FILE, mode, dir_fd=folder), "wb", buffering=0) as target:
        os.fchmod(target.fileno(), mode)  # whatever the umask
        for piece in content(file, entry):
            left = memoryview(piece)
            while left:
                left = left[target.write(left) :]
