"""Finds the result of a program: the last JSON in its standard output."""

import re
from itertools import accumulate

from nanogrid.json_text import JsonError, check_json
from services.executor.run.capture import LINE_BYTES, TAIL_BYTES, Capture
from services.executor.run.near_json import is_nearly_json, without_strings
from services.executor.sandbox import CallError

_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"  # a byte order mark, which some programs begin with
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")
# A line within an object that goes on or ends too early: `"name": …`.
_MEMBER = re.compile(rb'"(?:[^"\\\n]|\\.)*+"\s*:')
_NOT_MARKS = bytes(sorted(set(range(256)) - set(b"{}[]\n")))
# Read backwards, a closing bracket leads into a document and an opening one out of it; 255 is -1 as a signed byte.
_STEPS = bytes.maketrans(b"}]{[\n", bytes([1, 1, 255, 255, 0]))
_CURE = "print JSON as the last output: double quotes, no NaN, no trailing commas"


def printed_result(capture: Capture) -> bytes | CallError | None:
    """Return the last line if it is JSON, else a JSON document over several lines that ends the output.

    None when the output ends in anything else. A CallError (`ResultInvalid`) for JSON that NanoGrid does not
    accept, and for near-JSON: objects and lists in another language's notation, NaN and infinities, JSON cut short.
    """
    if (lost := capture.lost_line()) is not None:
        return _invalid(f"has more than {LINE_BYTES} bytes on one line") if lost.startswith(_OPENING) else None
    line = _trimmed(capture.last_line() or b"")
    if not line:
        return None
    try:
        check_json(line)
    except JsonError as error:
        return _document(capture, line, error)
    return line


def _document(capture: Capture, line: bytes, error: JsonError) -> bytes | CallError | None:
    """Judge an output whose last line is not JSON by itself: the end of a document, nearly JSON, or other text."""
    if _is_too_deep(error):
        return _invalid(str(error))
    if not line.endswith(_CLOSING):
        return _invalid(f"{error}; {_CURE}") if is_nearly_json(line) or _MEMBER.match(line) else None
    tail = capture.tail().rstrip(_BLANKS)
    start = _start_of_document(tail)
    if start is None and capture.is_tail_cut and line in _CLOSING:
        return _invalid(f"is spread over lines of more than {TAIL_BYTES} bytes together; print it on one line")
    text = line if start is None else _trimmed(tail[start:])
    try:
        check_json(text)
    except JsonError as found:
        return _invalid(f"{found}; {_CURE}") if _is_too_deep(found) or is_nearly_json(text) else None
    return text


def _start_of_document(tail: bytes) -> int | None:
    """Find the line that opens the bracket with which `tail` ends, or None when it does not begin with a bracket.

    Brackets in strings do not count. Takes time in proportion to the length of `tail`, for any content.
    """
    marks = without_strings(tail).translate(None, _NOT_MARKS)[::-1]
    depths = list(accumulate(memoryview(marks.translate(_STEPS)).cast("b")))
    if 0 not in depths:
        return None
    lines = marks.count(b"\n", 0, depths.index(0))
    start = len(tail)
    for _ in range(lines + 1):
        start = tail.rfind(b"\n", 0, start)
    return start + 1 if _trimmed(tail[start + 1 :]).startswith(_OPENING) else None


def _trimmed(text: bytes) -> bytes:
    return text.strip(_BLANKS).removeprefix(_MARK).lstrip(_BLANKS)


def _is_too_deep(error: JsonError) -> bool:
    return "levels deep" in str(error)


def _invalid(reason: str) -> CallError:
    return CallError("ResultInvalid", f"the program's last output {reason}")
