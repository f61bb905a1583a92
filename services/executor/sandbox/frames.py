"""Packs and parses the frames on a sandbox's control socket, as docs/runtime-contract.md describes them.

Everything from the sandbox is hostile: it is bounded before it is read, and checked before it is used.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from nanogrid.json_text import JsonError, check_json
from services.executor.sandbox import CallError, Kind

LENGTH = struct.Struct(">I")

HEADER_BYTES = 256 * 1024  # a message, a stack, and room for their JSON escapes
_TEXT_CHARS = 128 * 1024  # kept of a message or a stack
_EXIT_CODES = range(256)
_SIGNALS = range(65)  # Linux has 64, 0 = none
_BLANKS = b" \t\r\n"  # allowed around a JSON value

# Error types that a runtime may report. The executor finds all other errors itself.
_REPORTABLE = frozenset({"HandlerError", "ExitError", "OutOfMemory", "InitError", "ResultInvalid", "BuildError"})


class ProtocolError(Exception):
    """The sandbox broke the protocol and must not be used again."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the sandbox, of which only the length is checked."""

    kind: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The runtime's report of a call. `exit_code` is set when the process that ran it has ended.

    `signal` is then the number of the signal that killed it, 0 when it exited, None when the runtime does not say.
    """

    result: bytes
    error: CallError | None
    exit_code: int | None
    signal: int | None = None


def pack(kind: bytes, body: bytes) -> bytes:
    """Return one frame."""
    return LENGTH.pack(1 + len(body)) + kind + body


def specialise(function: Mapping[str, Any]) -> bytes:
    """Return the frame that specialises a generic runtime."""
    return pack(b"S", orjson.dumps(function))


def call(header: Mapping[str, Any], payload: bytes) -> bytes:
    """Return the frame that starts a call."""
    head = orjson.dumps(header)
    return pack(b"C", LENGTH.pack(len(head)) + head + payload)


def limit_of(expected: bytes, result_bytes: int) -> int:
    """Return the size limit of a frame of one of the kinds `expected`."""
    return 1 + HEADER_BYTES + (LENGTH.size + result_bytes if b"D" in expected else 0)


def parse_hello(frame: Frame, language: str) -> None:
    """Check the hello of a runtime. ProtocolError when it is not of the runtime that was started."""
    if frame.kind != b"H" or _object(frame.body).get("runtime") != language:
        raise ProtocolError(f"expected the {language} runtime to say hello")


def parse_ready(frame: Frame) -> CallError | Kind:
    """Parse the answer to `specialise`: the kind of calls, or the error."""
    if frame.kind == b"X":
        return _error(_object(frame.body))
    if frame.kind != b"R":
        raise ProtocolError(f"expected R or X, got {frame.kind!r}")
    try:
        return Kind(_object(frame.body).get("kind"))
    except ValueError:
        raise ProtocolError("R names a kind of call that does not exist") from None


def parse_done(frame: Frame) -> Done:
    """Parse the answer to a call."""
    if frame.kind != b"D" or len(frame.body) < LENGTH.size:
        raise ProtocolError(f"expected D, got {frame.kind!r}")
    (length,) = LENGTH.unpack_from(frame.body)
    end = LENGTH.size + length
    if length > HEADER_BYTES or end > len(frame.body):
        raise ProtocolError("the header of D is longer than it may be")
    header = _object(frame.body[LENGTH.size : end])
    error = header.get("error")
    code, signal = _number(header, "exit_code", _EXIT_CODES), _number(header, "signal", _SIGNALS)
    return Done(frame.body[end:].strip(_BLANKS), None if error is None else _error(error), code, signal)


def check_result(result: bytes) -> CallError | None:
    """Check that `result` is acceptable JSON, without building objects. Return the error, or None."""
    try:
        check_json(result)
    except JsonError as error:
        return CallError("ResultInvalid", f"the result {error}")
    return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ProtocolError("a header is not JSON") from None
    if not isinstance(found, dict):
        raise ProtocolError("a header is not a JSON object")
    return found


def _number(header: Mapping[str, Any], name: str, allowed: range) -> int | None:
    number = header.get(name)
    if number is None or (type(number) is int and number in allowed):
        return number
    raise ProtocolError(f"{name} of D is not a number from {allowed.start} to {allowed.stop - 1}")


def _error(found: Any) -> CallError:
    if not isinstance(found, dict):
        raise ProtocolError("an error is not a JSON object")
    parts = [found.get(name, "") for name in ("type", "message", "stack")]
    if not all(isinstance(part, str) for part in parts):
        raise ProtocolError("an error's type, message or stack is no text")
    kind, message, stack = parts
    if kind not in _REPORTABLE:
        raise ProtocolError("an error has no type that a runtime may report")
    return CallError(kind, message[:_TEXT_CHARS], stack[:_TEXT_CHARS])
