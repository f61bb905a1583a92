"""What a call printed: the beginning for the record, the last line for programs."""

import codecs
from collections.abc import Callable

from services.executor.sandbox import OutputStream

KEPT_BYTES = 1_000_000  # per stream, in the job's record
LINE_BYTES = 32_000_000  # a program's last line is its result, so the result's limit holds for it


class Capture:
    """Takes pieces of output as they come; holds at most KEPT_BYTES a stream and one line, and passes all on."""

    def __init__(self, pass_on: Callable[[OutputStream, bytes], None] | None = None) -> None:
        self._pass_on = pass_on
        self._kept = {stream: bytearray() for stream in OutputStream}
        self._seen = dict.fromkeys(OutputStream, 0)
        self._line = bytearray()  # the stdout line being written
        self._last = b""  # the last complete stdout line that is not blank
        self._line_lost = False

    def take(self, stream: OutputStream, data: bytes) -> None:
        """Keep what fits of the next piece."""
        self._seen[stream] += len(data)
        if (room := KEPT_BYTES - len(self._kept[stream])) > 0:
            self._kept[stream] += data[:room]
        if self._pass_on is not None:
            self._pass_on(stream, data)
        if stream is OutputStream.STDOUT:
            self._follow_lines(data)

    def text(self, stream: OutputStream) -> str:
        """The beginning of the stream as text, with a mark where it was cut; invalid UTF-8 is replaced."""
        kept, seen = self._kept[stream], self._seen[stream]
        if seen == len(kept):
            return kept.decode(errors="replace")
        # Not final: a character torn by the cut is left out.
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(kept))
        return f"{text}\n[cut: {seen - len(kept)} more bytes]"

    def last_line(self) -> bytes | None:
        """The last stdout line that is not blank; None when there is none or it is larger than a result may be."""
        if self._line.strip() or self._line_lost:
            return None if self._line_lost else bytes(self._line)
        return self._last or None

    def _follow_lines(self, data: bytes) -> None:
        *complete, rest = data.rsplit(b"\n", 1)
        if complete:
            lines = (
                (bytes(self._line) + complete[0]).rsplit(b"\n") if not self._line_lost else complete[0].split(b"\n")[1:]
            )
            self._last = next((line for line in reversed(lines) if line.strip()), self._last)
            self._line.clear()
            self._line_lost = False
        self._line += rest
        if len(self._line) > LINE_BYTES:
            self._line.clear()
            self._line_lost = True
