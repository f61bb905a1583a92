"""Captures the output of a call: its beginning for the record, its end for the result of a program."""

import codecs
from collections import deque
from collections.abc import Callable

from nanogrid.limits import MAX_PAYLOAD_BYTES
from services.executor.sandbox import OutputStream

KEPT_BYTES = 1_000_000  # per stream, in the job's record
TAIL_BYTES = 1_000_000  # of stdout, searched for a result printed over several lines
_SHOWN = 16  # bytes kept of a line that is too large
LINE_BYTES = MAX_PAYLOAD_BYTES  # the limit of results, because a program's last line is its result


class Capture:
    """Collects output as it arrives and passes it on. Holds at most KEPT_BYTES per stream, one line and the tail."""

    def __init__(self, pass_on: Callable[[OutputStream, bytes], None] | None = None) -> None:
        self._pass_on = pass_on
        self._kept = {stream: bytearray() for stream in OutputStream}
        self._seen = dict.fromkeys(OutputStream, 0)
        self._line = bytearray()  # the stdout line being written
        self._last = b""  # the last complete stdout line that is not blank
        self._lost_line: bytes | None = None  # the beginning of the line being written, when it is too large to keep
        self._lost_last: bytes | None = None  # likewise of the last complete line
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0

    def take(self, stream: OutputStream, data: bytes) -> None:
        """Add the next piece, as far as it fits."""
        self._seen[stream] += len(data)
        if (room := KEPT_BYTES - len(self._kept[stream])) > 0:
            self._kept[stream] += data[:room]
        if self._pass_on is not None:
            self._pass_on(stream, data)
        if stream is OutputStream.STDOUT:
            self._follow_lines(data)
            self._follow_tail(data)

    def text(self, stream: OutputStream) -> str:
        """Return the beginning of the stream as text, with a mark where it was cut. Invalid UTF-8 is replaced."""
        kept, seen = self._kept[stream], self._seen[stream]
        if seen == len(kept):
            return kept.decode(errors="replace")
        # An incremental decoder leaves out a character that the cut split.
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(kept))
        return f"{text}\n[cut: {seen - len(kept)} more bytes]"

    def last_line(self) -> bytes | None:
        """Return the last stdout line that is not blank, or None when it is larger than LINE_BYTES."""
        if self.lost_line() is not None:
            return None
        return bytes(self._line) if self._line.strip() else self._last or None

    def lost_line(self) -> bytes | None:
        """Return the beginning of the last stdout line when it is larger than LINE_BYTES, else None."""
        if self._lost_line is not None or self._line.strip():
            return self._lost_line
        return self._lost_last

    @property
    def is_tail_cut(self) -> bool:
        """Return whether stdout is longer than its `tail`."""
        return self._seen[OutputStream.STDOUT] > self._tail_bytes

    def tail(self) -> bytes:
        """Return the last TAIL_BYTES of stdout, and up to one piece more."""
        return b"".join(self._tail)

    def _follow_tail(self, data: bytes) -> None:
        self._tail.append(data)
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())

    def _follow_lines(self, data: bytes) -> None:
        *complete, rest = data.rsplit(b"\n", 1)
        if complete:
            lines = (bytes(self._line) + complete[0]).split(b"\n")
            if self._lost_line is not None:
                del lines[0]
                self._last, self._lost_last = b"", self._lost_line
            if found := next((line for line in reversed(lines) if line.strip()), None):
                self._last, self._lost_last = found, None
            self._line.clear()
            self._lost_line = None
        self._line += rest
        if len(self._line) > LINE_BYTES:
            self._lost_line = self._lost_line or bytes(self._line[:_SHOWN])
            self._line.clear()
