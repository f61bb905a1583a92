"""The gate itself: everything that can be known before inflating, checked. Then the proof by inflating."""

import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from nanogrid.bundle.directory import (
    FULL32,
    Record,
    extra_fields,
    find_end,
    read_exactly,
    records,
    require_one_name,
    wide_values,
)
from nanogrid.bundle.inflate import content
from nanogrid.bundle.model import Bundle, BundleLimits, Entry, Source, opened, rejected, shown
from nanogrid.bundle.names import ROOT, Names
from nanogrid.errors import TooLargeError

ROOT_FILES = 1000  # as many as the contract passes on

_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"

STORED, DEFLATED = 0, 8
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # the entry, strongly, the directory (APPNOTE 4.4.4)
_HAS_DESCRIPTOR = 1 << 3
_PATCHED = 1 << 5
_LEVEL_HINTS = 1 << 1 | 1 << 2  # how hard the packer tried; means nothing to a reader

_NO_LINKS = "zip without links: `zip -r` follows them (do not use -y)"
_PLAIN = "use `zip -r` without a password, or 7-Zip with `-mm=Deflate`"


@dataclass(frozen=True, slots=True)
class _Placed:
    """A checked record and its name as text."""

    record: Record
    name: str
    is_folder: bool


def inspect(source: Source, limits: BundleLimits) -> Bundle:
    """Check a zip without inflating it. ArchiveRejectedError or TooLargeError names the fault and the cure."""
    with opened(source) as file:
        return inspect_open(file, limits)


def verify(source: Source, limits: BundleLimits) -> Bundle:
    """Inspect, then inflate every entry without keeping it: sizes and checksums must match the zip's own figures."""
    with opened(source) as file:
        bundle = inspect_open(file, limits)
        for entry in bundle.entries:
            for _ in content(file, entry):
                pass
        return bundle


def inspect_open(file: BinaryIO, limits: BundleLimits) -> Bundle:
    """Inspect as `inspect` does, and leave the file open."""
    end = find_end(file)
    names = Names(limits)
    placed, total = [], 0
    for record in records(file, end, limits):
        name = names.add(record.name)
        is_folder = record.name.endswith(b"/")
        _check_kind(record, name, is_folder=is_folder)
        _check_coding(record, name)
        _check_size(record, name, limits, is_folder=is_folder)
        total += record.size_bytes
        if total > limits.unpacked_bytes:
            raise TooLargeError("unpacked size of the archive", limit=limits.unpacked_bytes)
        placed.append(_Placed(record, name, is_folder))
    if all(one.is_folder for one in placed):
        raise rejected(None, "has no files in it", "put the function's source code into it")
    offsets = _lay_out(file, placed, end.directory_offset)
    entries = tuple(_entry(one, at) for one, at in zip(placed, offsets, strict=True) if one.name != ROOT)
    return Bundle(entries, total, _root_files(entries))


def _check_kind(record: Record, name: str, *, is_folder: bool) -> None:
    # Unix mode bits count whoever claims to have made the entry: some unpackers apply them regardless.
    mode = record.external >> 16
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise rejected(name, "is a symbolic link", _NO_LINKS)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise rejected(name, "is a device, pipe or socket", "leave it out of the archive")
    says_folder = kind == stat.S_IFDIR or (kind == 0 and record.external & 0x10)  # 0x10: folder, in DOS attributes
    if (says_folder and not is_folder) or (kind == stat.S_IFREG and is_folder):
        raise rejected(name, "is a folder by its name or by its attributes, but not by both")
    if not is_folder and mode & (stat.S_ISUID | stat.S_ISGID):
        raise rejected(name, "has the setuid or setgid bit", "remove it: `chmod ug-s FILE`")


def _check_coding(record: Record, name: str) -> None:
    if record.flags & _ENCRYPTED:
        raise rejected(name, "is encrypted", _PLAIN)
    if record.method not in (STORED, DEFLATED) or record.flags & _PATCHED:
        raise rejected(name, f"is compressed with method {record.method}; only store (0) and deflate (8) are", _PLAIN)
    if record.method == STORED and record.packed_bytes != record.size_bytes:
        raise rejected(name, "is stored, but its two sizes differ")


def _check_size(record: Record, name: str, limits: BundleLimits, *, is_folder: bool) -> None:
    if is_folder and record.size_bytes:
        raise rejected(name, "is a folder with content")
    if record.size_bytes <= limits.ratio_from_bytes:
        return
    if record.size_bytes > limits.ratio * record.packed_bytes:
        ratio = -(-record.size_bytes // max(record.packed_bytes, 1))
        raise TooLargeError(f"compression ratio of {shown(name)}", limit=limits.ratio, actual=ratio, unit="to 1")


def _lay_out(file: BinaryIO, placed: list[_Placed], directory_offset: int) -> list[int]:
    """Check every local header. Entries must fill the file up to the directory, without overlap (CVE-2024-0450) or gap.

    Returns where each entry's content starts, in the order given.
    """
    order = sorted(range(len(placed)), key=lambda index: placed[index].record.offset)
    starts = [placed[index].record.offset for index in order]
    if starts[0] != 0:
        raise rejected(None, "has bytes before its first entry")
    offsets = [0] * len(placed)
    for index, stop in zip(order, [*starts[1:], directory_offset], strict=True):
        offsets[index] = _check_local(file, placed[index], stop)
    return offsets


def _check_local(file: BinaryIO, one: _Placed, stop: int) -> int:
    record = one.record
    file.seek(record.offset)
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
        read_exactly(file, _LOCAL.size)
    )
    name = read_exactly(file, name_length)
    start: int = record.offset + _LOCAL.size + name_length + extra_length
    rest = stop - start - record.packed_bytes
    if rest < 0:
        raise rejected(one.name, "overlaps with what follows it")
    extra = extra_fields(name, read_exactly(file, extra_length))
    require_one_name(name, extra)
    size, packed = wide_values(name, extra, [(size, FULL32), (packed, FULL32)])
    said, true = (crc, packed, size), (record.crc, record.packed_bytes, record.size_bytes)
    deferred = bool(flags & _HAS_DESCRIPTOR)
    agrees = all(a == b or (deferred and a == 0) for a, b in zip(said, true, strict=True))
    same_flags = (flags ^ record.flags) & ~_LEVEL_HINTS == 0
    if (signature, name, method) != (_LOCAL_SIGNATURE, record.name, record.method) or not (agrees and same_flags):
        raise rejected(one.name, "is described differently in its header and in the table of contents")
    _check_rest(file, one, start + record.packed_bytes, rest if deferred else None, rest)
    return start


def _check_rest(file: BinaryIO, one: _Placed, position: int, descriptor: int | None, rest: int) -> None:
    """Between an entry's content and the next entry lies nothing, or exactly its data descriptor (APPNOTE 4.3.9)."""
    if descriptor is None:
        if rest:
            raise rejected(one.name, f"is followed by {rest} bytes that belong to no entry")
        return
    record = one.record
    numbers = [struct.Struct(f"<L2{width}") for width in "LQ"]
    plain = {
        layout.size: layout.pack(record.crc, record.packed_bytes, record.size_bytes)
        for layout in numbers
        if layout.size == 20 or max(record.packed_bytes, record.size_bytes) <= FULL32  # noqa: PLR2004 - the wide one
    }
    allowed = plain | {size + 4: _DESCRIPTOR_SIGNATURE + data for size, data in plain.items()}
    file.seek(position)
    if rest not in allowed or read_exactly(file, rest) != allowed[rest]:
        raise rejected(one.name, "is followed by bytes that do not describe it")


def _entry(one: _Placed, data_offset: int) -> Entry:
    record = one.record
    return Entry(
        name=one.name,
        is_folder=one.is_folder,
        is_executable=bool(record.external >> 16 & 0o111),
        deflated=record.method == DEFLATED,
        crc=record.crc,
        packed_bytes=record.packed_bytes,
        size_bytes=record.size_bytes,
        data_offset=data_offset,
    )


def _root_files(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(sorted(e.name for e in entries if not e.is_folder and "/" not in e.name)[:ROOT_FILES])
