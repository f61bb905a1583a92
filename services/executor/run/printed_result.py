"""Finds the result of a program: the last JSON in its standard output."""

import ast
import json
import re

from nanogrid.json_text import JsonError, check_json
from services.executor.run.capture import LINE_BYTES, TAIL_BYTES, Capture
from services.executor.sandbox import CallError

_BLANKS = b" \t\r\n"
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")
_OPENING_LINE = re.compile(rb"^[{\[]", re.MULTILINE)
_TRIES = 64  # possible beginnings of a document that are tried, from each end of the tail
_NOTATION_BYTES = 65_536  # of text examined to tell why it is not JSON
_CURE = "print JSON as the last output: double quotes, no NaN, no trailing commas"


def printed_result(capture: Capture) -> bytes | CallError | None:
    """Return the last line if it is JSON, else a JSON document over several lines that ends the output.

    None when the output ends in anything else. A CallError (`ResultInvalid`) for JSON that NanoGrid does not
    accept, and for near-JSON: objects and lists in another language's notation, NaN and infinities.
    """
    if (lost := capture.lost_line()) is not None:
        return _invalid(f"has more than {LINE_BYTES} bytes on one line") if lost.startswith(_OPENING) else None
    line = (capture.last_line() or b"").strip(_BLANKS)
    if not line:
        return None
    try:
        check_json(line)
    except JsonError as error:
        return _document(capture, line) or _complaint(line, error)
    return line


def _document(capture: Capture, line: bytes) -> bytes | CallError | None:
    """Return a document over several lines, or None when the output ends in none."""
    if not line.endswith(_CLOSING):
        return None
    tail = capture.tail().rstrip(_BLANKS)
    starts = [found.start() for found in _OPENING_LINE.finditer(tail)]
    latest = starts[: -_TRIES - 1 : -1]
    for start in [*latest, *[one for one in starts[:_TRIES] if one not in latest]]:
        try:
            check_json(tail[start:])
        except JsonError as error:
            if "levels" in str(error):
                return _invalid(str(error))
        else:
            return tail[start:]
    if line in _CLOSING and not starts and capture.is_tail_cut:
        return _invalid(f"is spread over lines of more than {TAIL_BYTES} bytes together, which one line may have")
    return _complaint(tail[starts[-1] :], None) if starts and line in _CLOSING else None


def _complaint(text: bytes, error: JsonError | None) -> CallError | None:
    """Return the reason why `text` is not JSON, or None when it was not meant to be."""
    if error is not None and "levels" in str(error):
        return _invalid(str(error))
    if not _is_nearly_json(text[:_NOTATION_BYTES].decode(errors="replace")):
        return None
    try:
        check_json(text)
    except JsonError as why:
        return _invalid(f"{why}; {_CURE}")
    return None


def _is_nearly_json(text: str) -> bool:
    if text.startswith("{") and text.endswith("}") and ":" in text:
        return True
    try:
        json.loads(text)  # accepts NaN and infinities
    except (ValueError, RecursionError):
        pass
    else:
        return True
    try:
        return isinstance(ast.literal_eval(text), list)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _invalid(reason: str) -> CallError:
    return CallError("ResultInvalid", f"the program's last output {reason}")
