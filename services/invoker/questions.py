"""Idempotency keys: a caller's own name for a call, so that asking it again makes no second job."""

from nanogrid.errors import InvalidFieldError
from nanogrid.fingerprint import digest_of
from nanogrid.jobs import Question
from nanogrid.v1.resources_pb2 import Dialect

_MOST = 255  # characters of a key


def question(owner: str, key: str, *, function_id: str, payload: bytes, dialect: Dialect.ValueType) -> Question | None:
    """The question that a caller named `key`; None without a key. InvalidFieldError for a key that cannot be one."""
    if not key:
        return None
    if len(key) > _MOST or not all("!" <= one <= "~" for one in key):
        raise InvalidFieldError("idempotency_key", f"is not 1 to {_MOST} printable ASCII characters without blanks")
    asked = digest_of(function_id.encode(), b"%d" % dialect, payload)
    return Question(name=digest_of(owner.encode(), key.encode()), fingerprint=asked)
