"""The zip's own table of contents, read strictly: end records and central directory (PKWARE APPNOTE 6.3.10, 4.3)."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from nanogrid.bundle.model import BundleLimits, rejected
from nanogrid.errors import TooLargeError

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_LOCATOR64 = struct.Struct("<4sLQL")
_LOCATOR64_SIGNATURE = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGNATURE = b"PK\x06\x06"
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_CENTRAL_SIGNATURE = b"PK\x01\x02"

_LONGEST_COMMENT = 0xFFFF
_MOST_PADDING = (
    0xFFFF  # zeros behind it all: bsdtar fills up its last block, of at most 64 KiB, when it writes to a pipe
)
FULL16 = 0xFFFF  # "the true value is in the zip64 record"
FULL32 = 0xFFFFFFFF

EXTRA_ZIP64 = 0x0001
EXTRA_UNICODE_PATH = 0x7075  # a second name, which some readers prefer

_NOT_A_ZIP = "is not a whole zip file"
_PARTS = "is split over several files"
_JOIN = "join it first: `zip -s 0 split.zip --out code.zip`"


@dataclass(frozen=True, slots=True)
class EndRecord:
    """Where the central directory lies, and how many records it has."""

    directory_offset: int
    directory_bytes: int
    entries: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the central directory, zip64 resolved."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    external: int
    offset: int


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """Return the next `count` bytes. ArchiveRejectedError where the file ends before."""
    data = file.read(count)
    if len(data) != count:
        raise rejected(None, _NOT_A_ZIP)
    return data


def find_end(file: BinaryIO) -> EndRecord:
    """Find the end record. Only one reading of it is accepted, and nothing may lie between it and the directory."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - _LONGEST_COMMENT - _MOST_PADDING)
    file.seek(start)
    tail = read_exactly(file, size - start)
    found = _end_positions(tail)
    if not found:
        raise rejected(None, _NOT_A_ZIP)
    if len(found) > 1:
        raise rejected(None, "has more than one end record, so that two programs may see different files in it")
    position = start + found[0]
    _, disk, first_disk, here, entries, length, offset, _ = _END.unpack_from(tail, found[0])
    if disk not in (0, FULL16) or first_disk not in (0, FULL16) or here != entries:
        raise rejected(None, _PARTS, _JOIN)
    end = EndRecord(offset, length, entries)
    end64 = _find_end64(file, position)
    if end64 is not None:
        position, wide = end64
        _require_agreement(end, wide)
        end = wide
    if end.directory_offset + end.directory_bytes != position:
        raise rejected(None, "has bytes before, after or between its parts that belong to no entry")
    return end


def _end_positions(tail: bytes) -> list[int]:
    """Find the end records, the last first: those that with their comment end the file, but for zeros.

    A signature in the comment of one counts too: some readers take the last one there is.
    """
    last = position = tail.rfind(_END_SIGNATURE)
    found = []
    while position >= 0:
        if _ends_file(tail, position):
            found.append(position)
        position = tail.rfind(_END_SIGNATURE, 0, position)
    return found if last in found else [*found, last] if found else []


def _ends_file(tail: bytes, position: int) -> bool:
    if len(tail) - position < _END.size:
        return False
    end: int = position + _END.size + _END.unpack_from(tail, position)[-1]
    padding = len(tail) - end
    return 0 <= padding <= _MOST_PADDING and tail.count(0, end) == padding


def _find_end64(file: BinaryIO, end_position: int) -> tuple[int, EndRecord] | None:
    locator = end_position - _LOCATOR64.size
    if locator < 0:
        return None
    file.seek(locator)
    signature, disk, position, disks = _LOCATOR64.unpack(read_exactly(file, _LOCATOR64.size))
    if signature != _LOCATOR64_SIGNATURE:
        return None
    if disk != 0 or disks > 1:
        raise rejected(None, _PARTS, _JOIN)
    if position + _END64.size != locator:  # the extensible part is for encryption and has never been used otherwise
        raise rejected(None, "has a zip64 end record that is not where it says")
    file.seek(position)
    signature, length, *_, disk, first_disk, here, entries, size, offset = _END64.unpack(
        read_exactly(file, _END64.size)
    )
    if signature != _END64_SIGNATURE or length != _END64.size - 12:  # the length leaves out signature and itself
        raise rejected(None, "has a broken zip64 end record")
    if disk != 0 or first_disk != 0 or here != entries:
        raise rejected(None, _PARTS, _JOIN)
    return position, EndRecord(offset, size, entries)


def _require_agreement(end: EndRecord, wide: EndRecord) -> None:
    pairs = (
        (end.entries, wide.entries, FULL16),
        (end.directory_bytes, wide.directory_bytes, FULL32),
        (end.directory_offset, wide.directory_offset, FULL32),
    )
    if any(narrow not in (true, full) for narrow, true, full in pairs):
        raise rejected(None, "has two end records that contradict each other")


def records(file: BinaryIO, end: EndRecord, limits: BundleLimits) -> Iterator[Record]:
    """Return the records in their order, one at a time. They must fill the directory exactly."""
    if end.entries > limits.entries:
        raise TooLargeError(
            "number of entries in the archive", limit=limits.entries, actual=end.entries, unit="entries"
        )
    if end.directory_bytes > limits.directory_bytes:
        raise TooLargeError("table of contents", limit=limits.directory_bytes, actual=end.directory_bytes)
    position = end.directory_offset
    for _ in range(end.entries):
        file.seek(position)
        record, position = _record(file)
        yield record
    if position != end.directory_offset + end.directory_bytes:
        raise rejected(None, "has a table of contents of another size than it says")


def _record(file: BinaryIO) -> tuple[Record, int]:
    fields = _CENTRAL.unpack(read_exactly(file, _CENTRAL.size))
    signature, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length = fields[:13]
    disk, _, external, offset = fields[13:]
    if signature != _CENTRAL_SIGNATURE:
        raise rejected(None, "has a broken table of contents")
    name = read_exactly(file, name_length)
    extra = extra_fields(name, read_exactly(file, extra_length))
    require_one_name(name, extra)
    values = wide_values(name, extra, [(size, FULL32), (packed, FULL32), (offset, FULL32), (disk, FULL16)])
    if values[3] != 0:
        raise rejected(name, _PARTS, _JOIN)
    record = Record(name, flags, method, crc, values[1], values[0], external, values[2])
    return record, file.tell() + comment_length


def extra_fields(name: bytes, data: bytes) -> dict[int, bytes]:
    """Split an extra field into its blocks. Up to 3 stray bytes at the end are padding that aligning tools leave."""
    found: dict[int, bytes] = {}
    position = 0
    while len(data) - position >= 4:  # noqa: PLR2004 - a block's id and length
        kind, length = struct.unpack_from("<2H", data, position)
        position += 4 + length
        if position > len(data) or (kind in (EXTRA_ZIP64, EXTRA_UNICODE_PATH) and kind in found):
            raise rejected(name, "has a broken extra field")
        found[kind] = data[position - length : position]
    return found


def wide_values(name: bytes, extra: dict[int, bytes], values: list[tuple[int, int]]) -> list[int]:
    """Replace each (value, full) that is full by the next number of the zip64 block (APPNOTE 4.5.3)."""
    block, position, result = extra.get(EXTRA_ZIP64), 0, []
    for value, full in values:
        if value != full or block is None:
            result.append(value)
            continue
        width = struct.Struct("<Q" if full == FULL32 else "<L")
        if len(block) - position < width.size:
            raise rejected(name, "has a zip64 field that is too short")
        result.append(int(width.unpack_from(block, position)[0]))
        position += width.size
    return result


def require_one_name(name: bytes, extra: dict[int, bytes]) -> None:
    """ArchiveRejectedError where an entry carries a second, different name."""
    # Version (1 byte), CRC of the name it replaces (4 bytes), the other name (APPNOTE 4.6.9).
    other = extra.get(EXTRA_UNICODE_PATH)
    if other is not None and other[5:] != name:
        raise rejected(name, "has a second name", "zip it again with UTF-8 names: `LC_ALL=C.UTF-8 zip -r code.zip .`")
