"""One digest for several values: what an idempotency key is kept under, and what was asked with it."""

import hashlib


def digest_of(*parts: bytes) -> str:
    """64 hex digits, the same for no other list of parts."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(b"%d:" % len(part))  # so that no two lists read the same
        seen.update(part)
    return seen.hexdigest()
