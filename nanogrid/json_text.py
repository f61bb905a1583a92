"""JSON text that stays closed: validated once, cut where needed, never turned into objects and written anew.

Parsing and writing changes what it touches: integers beyond 64 bits become floats, long floats are rounded, escapes are
spelt anew. A payload or a result is its author's, so its bytes pass through unopened.
"""

from itertools import accumulate
from typing import TypeVar

import msgspec

__all__ = ["MAX_DEPTH", "JsonError", "check_depth", "check_json", "cut_members", "read_json"]

# Levels of arrays and objects in one text. Parsers on the way, Python's own in the sandbox first, stop at about 900.
MAX_DEPTH = 512

_BRACKETS = b"[]{}"
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(_BRACKETS)))
# Each bracket as the change of depth it makes: 1, or 255, which is -1 as a signed byte.
_STEPS = bytes.maketrans(_BRACKETS, bytes([1, 255, 1, 255]))

Decoded = TypeVar("Decoded")

_any = msgspec.json.Decoder(msgspec.Raw)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonError(ValueError):
    """The text is not JSON that NanoGrid passes on. The message says why, `member` in which one, if that is known."""

    def __init__(self, message: str, member: str = "") -> None:
        super().__init__(message)
        self.member = member


def check_json(text: bytes) -> None:
    """Check that `text` is one JSON value in UTF-8, at most MAX_DEPTH levels deep. JsonError otherwise.

    NaN, infinities and escaped lone surrogates are no JSON here (RFC 8259, with I-JSON's rule on Unicode).
    """
    read_json(_any, text)
    check_depth(text)


def cut_members(text: bytes) -> dict[str, bytes]:
    """Cut a JSON object into its members: each name with its value's bytes as they stand. The last of a name counts.

    JsonError as for `check_json`, and for JSON that is no object. The depth limit holds for each value.
    """
    members = {name: bytes(value) for name, value in read_json(_object, text).items()}
    for name, value in members.items():
        check_depth(value, name)
    return members


def read_json(decoder: msgspec.json.Decoder[Decoded], text: bytes) -> Decoded:
    """Read JSON in UTF-8 with a decoder that leaves values raw. JsonError, also for JSON of another type.

    The depth of raw values is for `check_depth`.
    """
    try:
        if not text.isascii():
            str(text, "utf-8")  # the decoder passes over strings without looking at their encoding
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
    """Check that valid JSON is at most MAX_DEPTH levels deep. JsonError, naming `member`, otherwise."""
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _too_deep(member)


def _depth(text: bytes) -> int:
    """Count the levels of valid JSON, in time that grows with its length alone."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(text.split(b'"')[::2])
    steps = outside_strings.translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _too_deep(member: str = "") -> JsonError:
    return JsonError(f"is nested more than {MAX_DEPTH} levels deep", member)


def _reason(error: msgspec.DecodeError) -> str:
    return str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
