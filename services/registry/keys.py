"""The rules of API keys: `ng_{key_id}_{secret}`, kept as a digest, compared in constant time."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable

from nanogrid import paging
from nanogrid.errors import InvalidFieldError, NotFoundError, UnauthenticatedError
from nanogrid.v1.resources_pb2 import ApiKey
from services.registry.store import KeyRecord, KeyStore

_PRINCIPAL = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_KEY = re.compile(r"ng_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_SECRET_BYTES = 32  # 256 random bits: a plain digest suffices, nobody can guess through them
_NOBODY = "0" * 64  # compared with where there is no key, so that its absence takes no less work


class Keys:
    """API keys and their principals. The edge decides which callers may ask."""

    def __init__(self, store: KeyStore, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._store = store
        self._now_us = now_us

    async def create(self, principal: str) -> tuple[ApiKey, str]:
        """Make a key for a principal. The secret is returned here and kept nowhere. InvalidFieldError otherwise."""
        if not _PRINCIPAL.fullmatch(principal):
            raise InvalidFieldError("principal", "use 1 to 64 characters of A-Z a-z 0-9 . _ @ -")
        key = ApiKey(key_id=secrets.token_hex(6), principal=principal)
        key.created_at.FromMicroseconds(self._now_us())
        secret = f"ng_{key.key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        await self._store.insert_key(KeyRecord(key, _digest(secret)))
        return key, secret

    async def verify(self, secret: str) -> str:
        """Return the principal of a key.

        One same UnauthenticatedError when it is malformed, unknown, wrong or revoked.
        """
        presented = _digest(secret)
        record = await self._find(secret)
        matches = hmac.compare_digest(presented, record.digest if record else _NOBODY)
        if record is None or not matches or record.key.HasField("revoked_at"):
            raise UnauthenticatedError("the API key is not valid")
        return record.key.principal

    async def page(self, page_size: int, page_token: str) -> tuple[list[ApiKey], str]:
        """Return keys, newest first, and the next page's token."""
        return await self._store.page_keys(paging.size(page_size), page_token)

    async def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key. Again changes nothing. NotFoundError when it never was."""
        return await self._store.revoke_key(key_id, self._now_us())

    async def _find(self, secret: str) -> KeyRecord | None:
        wanted = _KEY.fullmatch(secret)
        try:
            return await self._store.get_key(wanted[1] if wanted else "")  # looked up even when it cannot be there
        except NotFoundError:
            return None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
