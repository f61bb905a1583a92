"""Idempotency keys: a caller's own name for a call, so that asking it again makes no second job."""

import hashlib

from nanogrid.errors import InvalidFieldError
from nanogrid.jobs import Question
from nanogrid.v1.resources_pb2 import Dialect

_MOST = 255  # characters of a key


def question(owner: str, key: str, *, function_id: str, payload: bytes, dialect: Dialect.ValueType) -> Question | None:
    """The question that a caller named `key`; None without a key. InvalidFieldError for a key that cannot be one."""
    if not key:
        return None
    if len(key) > _MOST or not all("!" <= one <= "~" for one in key):
        raise InvalidFieldError("idempotency_key", f"is not 1 to {_MOST} printable ASCII characters without blanks")
    return Question(name=_digest(owner.encode(), key.encode()), fingerprint=_fingerprint(function_id, payload, dialect))


def _fingerprint(function_id: str, payload: bytes, dialect: Dialect.ValueType) -> str:
    return _digest(function_id.encode(), b"%d" % dialect, payload)


def _digest(*parts: bytes) -> str:
    seen = hashlib.sha256()
    for part in parts:
        seen.update(b"%d:" % len(part))  # so that no two lists of parts read the same
        seen.update(part)
    return seen.hexdigest()
