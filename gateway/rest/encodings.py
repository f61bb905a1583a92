"""Request bodies as their senders wrote them: bounded while they arrive, and decoded where they were sent compressed.

What is counted is what was inflated, piece by piece, so a small body cannot become a large one in memory.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import brotli
from starlette.requests import Request

from nanogrid.errors import InvalidFieldError, TooLargeError, UnsupportedMediaTypeError

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14 and newer
except ImportError:
    from backports import zstd

_HEADER = "Content-Encoding"
_PIECE_BYTES = 256 * 1024  # inflated at a time; other requests get their turn in between
_ZSTD_WINDOW_LOG = 23  # 8 MB of memory: the most that RFC 9659 lets senders ask of a receiver
_GZIP_WINDOW = 31  # zlib's way of saying: gzip's frame, any window

_FAULTS = (zlib.error, brotli.error, zstd.ZstdError)


class Decoder(Protocol):
    """Decodes one body of one encoding. Raises one of `_FAULTS` for what is not in it."""

    @property
    def is_whole(self) -> bool:
        """Tell whether what was fed so far is a whole body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode more of the body, in pieces of about _PIECE_BYTES."""


async def read_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Return the body's bytes, decoded, as they arrive.

    TooLargeError beyond `limit` bytes, sent or decoded. UnsupportedMediaTypeError for an encoding that is not taken,
    InvalidFieldError for a body that is not in the one it names.
    """
    decoder = _decoder_of(request)
    declared = declared_length(request)
    if declared is not None and declared > limit:
        raise TooLargeError("body", limit=limit, actual=declared)
    pieces = request.stream() if decoder is None else _decoded(request, *decoder)
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > limit:
            raise TooLargeError("body", limit=limit)
        yield piece


def declared_length(request: Request) -> int | None:
    """Return the body's Content-Length, or None."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def _decoded(request: Request, name: str, make: Callable[[], Decoder]) -> AsyncIterator[bytes]:
    decoder, is_empty = make(), True
    try:
        async for chunk in request.stream():
            for piece in decoder.feed(chunk):
                yield piece
                await asyncio.sleep(0)
            is_empty = is_empty and not chunk
    except _FAULTS as fault:
        raise InvalidFieldError("body", f"is not {name}, as {_HEADER} says: {fault}") from None
    if not (decoder.is_whole or is_empty):
        raise InvalidFieldError("body", f"ends in the middle of its {name} data; send it whole")


def _decoder_of(request: Request) -> tuple[str, Callable[[], Decoder]] | None:
    """Find the decoder of a body, by its one encoding. None for a body as it is."""
    said = ",".join(request.headers.getlist(_HEADER))
    names = [name for name in (part.strip().lower() for part in said.split(",")) if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in _DECODERS:
        taken = ", ".join(_TAKEN)
        raise UnsupportedMediaTypeError(
            f"{_HEADER}: {said[:64]!r} is not taken here; send the body as it is, or in one of {taken}",
            field=_HEADER,
            accept_encoding=taken,
        )
    return names[0], _DECODERS[names[0]]


class _Gzip:
    """Gzip, of one or more members (RFC 1952)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self.is_whole = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self.is_whole:
                self._member, self.is_whole = zlib.decompressobj(_GZIP_WINDOW), False
            piece = self._member.decompress(data, _PIECE_BYTES)
            data = self._member.unconsumed_tail
            while piece:
                yield piece
                # zlib may hold output back after it took all input.
                piece = b"" if data or self._member.eof else self._member.decompress(b"", _PIECE_BYTES)
            if self._member.eof:
                self.is_whole, data = True, self._member.unused_data


class _Zstd:
    """Zstandard, of one or more frames (RFC 8878)."""

    def __init__(self) -> None:
        self._frame = _zstd_frame()
        self.is_whole = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self.is_whole:
                self._frame, self.is_whole = _zstd_frame(), False
            yield self._frame.decompress(data, _PIECE_BYTES)
            while not (self._frame.needs_input or self._frame.eof):
                yield self._frame.decompress(b"", _PIECE_BYTES)
            self.is_whole = self._frame.eof
            data = self._frame.unused_data if self.is_whole else b""


class _Brotli:
    """Brotli (RFC 7932)."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def is_whole(self) -> bool:
        return bool(self._stream.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        piece = self._stream.process(data, output_buffer_limit=_PIECE_BYTES)
        # It can accept more as soon as it took all input, though it holds output back: only an empty piece is the end.
        while piece or not (self.is_whole or self._stream.can_accept_more_data()):
            yield piece
            piece = b"" if self.is_whole else self._stream.process(b"", output_buffer_limit=_PIECE_BYTES)


def _zstd_frame() -> "zstd.ZstdDecompressor":
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


_TAKEN = ("gzip", "br", "zstd")
_DECODERS: dict[str, Callable[[], Decoder]] = {"gzip": _Gzip, "x-gzip": _Gzip, "br": _Brotli, "zstd": _Zstd}
