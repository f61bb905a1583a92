"""An entry's content, streamed and counted: never more than it declared, never held whole."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from nanogrid.bundle.model import Entry, rejected

_READ_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024  # most that one step may inflate to


def content(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """Return the content in pieces.

    ArchiveRejectedError as soon as it is longer, and at the end unless size and CRC agree.
    """
    crc, size = 0, 0
    for piece in _deflated(file, entry) if entry.deflated else _packed(file, entry, _PIECE_BYTES):
        size += len(piece)
        if size > entry.size_bytes:
            raise rejected(entry.name, f"inflates to more than the {entry.size_bytes} bytes it declares")
        crc = zlib.crc32(piece, crc)
        yield piece
    if size != entry.size_bytes:
        raise rejected(entry.name, f"inflates to {size} bytes, but declares {entry.size_bytes}")
    if crc != entry.crc:
        raise rejected(entry.name, "is damaged: its checksum does not fit")


def _packed(file: BinaryIO, entry: Entry, piece_bytes: int) -> Iterator[bytes]:
    file.seek(entry.data_offset)
    left = entry.packed_bytes
    while left:
        data = file.read(min(piece_bytes, left))
        if not data:
            raise rejected(entry.name, "is cut off")
        left -= len(data)
        yield data


def _deflated(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for packed in _packed(file, entry, _READ_BYTES):
        if inflater.eof:
            raise rejected(entry.name, "has bytes behind the end of its compressed content")
        yield from _inflated(inflater, entry, packed)
    yield from _inflated(inflater, entry, b"")  # what zlib still holds back
    if not inflater.eof:
        raise rejected(entry.name, "is cut off")
    if inflater.unused_data:
        raise rejected(entry.name, "has bytes behind the end of its compressed content")


def _inflated(inflater: "zlib._Decompress", entry: Entry, packed: bytes) -> Iterator[bytes]:
    while not inflater.eof:
        try:
            piece = inflater.decompress(packed, _PIECE_BYTES)
        except zlib.error:
            raise rejected(entry.name, "is damaged: its compressed content cannot be read") from None
        packed = inflater.unconsumed_tail
        if piece:
            yield piece
        if not packed and len(piece) < _PIECE_BYTES:
            return
