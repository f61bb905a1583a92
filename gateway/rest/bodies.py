"""JSON bodies: bounded while they arrive, parsed once, refused with the reason."""

import json
import re
from typing import Any

import orjson
from starlette.requests import Request

from nanogrid.errors import InvalidFieldError, TooLargeError, UnsupportedMediaTypeError

# orjson turns integers beyond 64 bits into floats; a body that may hold one is read by the standard library.
_LONG_INTEGER = re.compile(rb"\d{19}")


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """The body, a JSON object. 415 for another media type, 413 beyond `limit` bytes, 400 for what is not JSON."""
    _check_media_type(request.headers.get("content-type", ""))
    value = _parse(await _read(request, limit))
    if not isinstance(value, dict):
        raise InvalidFieldError("body", 'send a JSON object, such as {"function_id": "…"}')
    return value


def declared_length(request: Request) -> int | None:
    """The body's length as the client announced it; None where it did not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def encode(field: str, value: Any) -> bytes:
    """A value that came out of a body, as compact JSON. InvalidFieldError where it is nested too deeply."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, or nested more than 254 deep
        pass
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        raise _too_deep(field) from None


def _check_media_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ("", "application/json") and not media_type.endswith("+json"):
        raise UnsupportedMediaTypeError(f"content-type: {media_type[:64]!r} is not taken here; send application/json")


async def _read(request: Request, limit: int) -> bytes:
    declared = declared_length(request)
    if declared is not None and declared > limit:
        raise TooLargeError("body", limit=limit, actual=declared)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLargeError("body", limit=limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
        return json.loads(body) if _LONG_INTEGER.search(body) else value
    except RecursionError:
        raise _too_deep("body") from None
    except ValueError as error:
        raise InvalidFieldError("body", f"is not JSON: {error}") from None


def _too_deep(field: str) -> InvalidFieldError:
    return InvalidFieldError(field, "is nested too deeply; use fewer than 900 levels")
