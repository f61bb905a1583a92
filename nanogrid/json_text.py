"""Validates JSON text and cuts members out of it without turning it into objects and writing it anew.

Parsing and writing would change it: integers beyond 64 bits become floats, long floats are rounded, escapes are written
differently. Payloads and results belong to their authors, so their bytes pass through unchanged.
"""

from itertools import accumulate
from typing import TypeVar

import msgspec

__all__ = ["MAX_DEPTH", "JsonError", "check_depth", "check_json", "cut_members", "read_json"]

# Nested arrays and objects in one text. Of the parsers on the way, Python's own in the sandbox is the first to fail, at
# about 900 levels.
MAX_DEPTH = 512

_BRACKETS = b"[]{}"
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(_BRACKETS)))
# Maps each bracket to its change of depth: 1, or 255, which is -1 as a signed byte.
_STEPS = bytes.maketrans(_BRACKETS, bytes([1, 255, 1, 255]))

Decoded = TypeVar("Decoded")

_any = msgspec.json.Decoder(msgspec.Raw)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonError(ValueError):
    """The text is not JSON that NanoGrid accepts. The message names the reason, `member` the member, if it is known."""

    def __init__(self, message: str, member: str = "") -> None:
        super().__init__(message)
        self.member = member


def check_json(text: bytes) -> None:
    """Check that `text` is one JSON value in UTF-8, at most MAX_DEPTH levels deep. Raises JsonError otherwise.

    NaN, infinities and escaped lone surrogates are invalid (RFC 8259, with the rule of I-JSON on Unicode).
    """
    read_json(_any, text)
    check_depth(text)


def cut_members(text: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object: each name with the unchanged bytes of its value. The last duplicate wins.

    JsonError as for `check_json`, and for JSON that is not an object. The depth limit applies to each value.
    """
    members = {name: bytes(value) for name, value in read_json(_object, text).items()}
    for name, value in members.items():
        check_depth(value, name)
    return members


def read_json(decoder: msgspec.json.Decoder[Decoded], text: bytes) -> Decoded:
    """Decode JSON in UTF-8 with a decoder that leaves values raw. Raises JsonError, also for JSON of another type.

    It does not check the depth of raw values: see `check_depth`.
    """
    try:
        if not text.isascii():
            str(text, "utf-8")  # the decoder skips strings without checking their encoding
        return decoder.decode(text)
    except UnicodeDecodeError as error:
        raise JsonError(f"is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:
        raise JsonError("is not a JSON object") from None
    except msgspec.DecodeError as error:
        raise JsonError(f"is not JSON: {_reason(error)}") from None


def check_depth(text: bytes, member: str = "") -> None:
    """Check that valid JSON is at most MAX_DEPTH levels deep. Raises JsonError, which names `member`, otherwise."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _too_deep(member)


def _depth(text: bytes) -> int:
    """Return the number of levels of valid JSON, in linear time."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(text.split(b'"')[::2])
    steps = outside_strings.translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _too_deep(member: str = "") -> JsonError:
    return JsonError(f"is nested more than {MAX_DEPTH} levels deep", member)


def _reason(error: msgspec.DecodeError) -> str:
    return str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
