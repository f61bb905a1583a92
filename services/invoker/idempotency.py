"""Builds idempotency keys: a caller's own name for a call, so that repeating it makes no second job."""

from nanogrid.idempotency import check_idempotency_key, digest_of
from nanogrid.jobs import IdempotencyKey
from nanogrid.v1.resources_pb2 import Dialect


def idempotency_key(
    owner: str, key: str, *, function_id: str, payload: bytes, dialect: Dialect.ValueType
) -> IdempotencyKey | None:
    """Return the key of a call, or None without one. InvalidFieldError for a malformed key."""
    if not key:
        return None
    check_idempotency_key(key, "idempotency_key")
    digest = digest_of(function_id.encode(), b"%d" % dialect, payload)
    return IdempotencyKey(name=digest_of(owner.encode(), key.encode()), fingerprint=digest)
