"""Checks page sizes, and encodes positions in sorted lists as page tokens, which are opaque to callers."""

import base64
import binascii

import orjson

from nanogrid.errors import InvalidFieldError

DEFAULT_SIZE = 50
MAX_SIZE = 100


def size(requested: int) -> int:
    """Return the page size for a request: 0 means 50. InvalidFieldError outside of 1 to 100."""
    if not 0 <= requested <= MAX_SIZE:
        raise InvalidFieldError("page_size", f"is {requested}; use 1 to {MAX_SIZE}, or leave it out for {DEFAULT_SIZE}")
    return requested or DEFAULT_SIZE


def token(position: list[str | int]) -> str:
    """Return the token of the page that starts after `position`."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def position(page_token: str, shape: tuple[type, ...]) -> list[str | int] | None:
    """Return the position in a token, or None for the first page. InvalidFieldError for an invalid token."""
    if not page_token:
        return None
    try:
        padded = page_token + "=" * (-len(page_token) % 4)
        found = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        found = None
    if not isinstance(found, list) or [type(item) for item in found] != list(shape):
        raise InvalidFieldError("page_token", "is not one this list gave out; leave it out for the first page")
    return found
