"""The gate's limits, its findings (bundle, entries) and its refusals."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nanogrid.errors import ArchiveRejectedError

Source = Path | BinaryIO  # an open file must be seekable; it is left open

_SHOWN = 80  # characters of a hostile name that an error repeats
ZIP_AGAIN = "zip the files again, for example with `zip -r code.zip .`"


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """Bounds of a bundle. Folders count as entries, those only implied by a path too."""

    unpacked_bytes: int = 2_000_000_000
    entries: int = 20_000
    ratio: int = 100  # unpacked to packed, of one entry …
    ratio_from_bytes: int = 1_000_000  # … that is larger than this unpacked
    path_bytes: int = 3_072  # leaves room below PATH_MAX (4096) for the folder it is unpacked in
    part_bytes: int = 255  # NAME_MAX of every usual file system
    depth: int = 64  # deepest real dependency trees stay below 30
    directory_bytes: int = 16_000_000  # the table of contents; read into memory, hence small


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder. `name` has no trailing slash. The content lies at `data_offset` of the zip."""

    name: str
    is_folder: bool
    is_executable: bool
    deflated: bool
    crc: int
    packed_bytes: int
    size_bytes: int
    data_offset: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """An inspected zip. `root_files` are the names of the files at its root, sorted, at most 1000."""

    entries: tuple[Entry, ...]
    size_bytes: int
    root_files: tuple[str, ...]


def rejected(name: str | bytes | None, why: str, cure: str = ZIP_AGAIN) -> ArchiveRejectedError:
    """Return the error for an entry (None: for the whole archive): its name made safe to show, the reason, the cure."""
    text = name.decode(errors="backslashreplace") if isinstance(name, bytes) else name
    if text is None:
        return ArchiveRejectedError(f"the archive {why}; {cure}", field="file")
    return ArchiveRejectedError(f"entry {shown(text)} {why}; {cure}", field="file")


def shown(name: str) -> str:
    """Return a hostile name, quoted, escaped and shortened."""
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…")


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Return the source as an open file."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source
