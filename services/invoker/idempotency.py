"""Idempotency keys: a caller's own name for a call, so that asking it again makes no second job."""

from nanogrid.idempotency import check_idempotency_key, digest_of
from nanogrid.jobs import IdempotencyKey
from nanogrid.v1.resources_pb2 import Dialect


def question(
    owner: str, key: str, *, function_id: str, payload: bytes, dialect: Dialect.ValueType
) -> IdempotencyKey | None:
    """The question that a caller named `key`; None without a key. InvalidFieldError for a key that cannot be one."""
    if not key:
        return None
    check_idempotency_key(key, "idempotency_key")
    asked = digest_of(function_id.encode(), b"%d" % dialect, payload)
    return IdempotencyKey(name=digest_of(owner.encode(), key.encode()), fingerprint=asked)
