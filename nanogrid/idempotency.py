"""Checks the grammar of an `Idempotency-Key` and computes the digests under which keys and calls are stored."""

import hashlib
import re

from nanogrid.errors import InvalidFieldError

_KEY = re.compile(r"[!-~]{1,255}")


def check_idempotency_key(key: str, field: str) -> None:
    """Check the grammar of a key. InvalidFieldError names `field`."""
    if not _KEY.fullmatch(key):
        raise InvalidFieldError(field, "is not 1 to 255 printable ASCII characters without blanks")


def digest_of(*parts: bytes) -> str:
    """Return the SHA-256 of a list of byte strings in hex. Different lists have different digests."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(b"%d:" % len(part))  # with the lengths, no two lists are the same bytes
        seen.update(part)
    return seen.hexdigest()
