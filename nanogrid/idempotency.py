"""The grammar of an `Idempotency-Key`, and the digests under which keys and calls are stored."""

import hashlib
import re

from nanogrid.errors import InvalidFieldError

_KEY = re.compile(r"[!-~]{1,255}")


def check_idempotency_key(key: str, field: str) -> None:
    """Check the grammar of a key. InvalidFieldError names `field`."""
    if not _KEY.fullmatch(key):
        raise InvalidFieldError(field, "is not 1 to 255 printable ASCII characters without blanks")


def digest_of(*parts: bytes) -> str:
    """64 hex digits, the same for no other list of parts."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(b"%d:" % len(part))  # so that no two lists read the same
        seen.update(part)
    return seen.hexdigest()
