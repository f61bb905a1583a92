"""Authenticates callers by the internal token between services or by API keys of clients. On loopback neither."""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping

from cachetools import TTLCache

from nanogrid import caller
from nanogrid.caller import Caller
from nanogrid.errors import OperatorsOnlyError, UnauthenticatedError

CACHE_S = 30.0  # the longest that a revoked key still works at an edge
_CACHE_SIZE = 10_000  # keys per process

VerifyKey = Callable[[str], Awaitable[str]]  # whole key -> principal, or UnauthenticatedError


class KeyCache:
    """Caches the principals of valid keys, and which keys are invalid, for `ttl_s` seconds."""

    def __init__(self, verify: VerifyKey, ttl_s: float = CACHE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._verify = verify
        # By digest, because strangers may send keys of any length and no key should be in memory in the clear.
        self._known: TTLCache[bytes, str | None] = TTLCache(_CACHE_SIZE, ttl_s, clock)

    async def principal(self, key: str) -> str:
        """Return the principal of a key. UnauthenticatedError when the key is unknown, wrong or revoked."""
        digest = hashlib.sha256(key.encode()).digest()
        try:
            principal = self._known[digest]
        except KeyError:
            principal = self._known[digest] = await self._ask(key)
        if principal is None:
            raise UnauthenticatedError("the API key is not valid; make one with `nanogrid keys create PRINCIPAL`")
        return principal

    async def _ask(self, key: str) -> str | None:
        try:
            return await self._verify(key)
        except UnauthenticatedError:
            return None


class Authenticator:
    """Identifies callers by metadata (gRPC) or headers (HTTP), with names in lower case.

    Without `required` all callers are trusted, also as `internal`.
    """

    def __init__(self, *, required: bool, internal_token: str, verify: VerifyKey) -> None:
        self._required = required
        self._token = internal_token.encode()
        self._keys = KeyCache(verify)

    async def identify(self, metadata: Mapping[str, str]) -> Caller:
        """Return the caller. UnauthenticatedError when a valid key or token is required and missing."""
        request_id = metadata.get(caller.REQUEST_ID_KEY) or caller.new_request_id()
        is_service = self._has_token(metadata)
        if is_service or not self._required:
            principal = metadata.get(caller.PRINCIPAL_KEY)
            return Caller(principal, internal=True, request_id=request_id, is_service=is_service)
        return Caller(await self._keys.principal(api_key(metadata)), internal=False, request_id=request_id)

    def _has_token(self, metadata: Mapping[str, str]) -> bool:
        presented = metadata.get(caller.TOKEN_KEY, "").encode()
        return bool(self._token) and hmac.compare_digest(presented, self._token)


def api_key(headers: Mapping[str, str]) -> str:
    """Return the API key in `x-api-key` or `authorization: Bearer …`. UnauthenticatedError when there is none."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key", "") or (bearer.strip() if scheme.lower() == "bearer" else "")
    if not key:
        raise UnauthenticatedError("send your API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`")
    return key


def require_internal() -> None:
    """Raise OperatorsOnlyError unless the current caller is part of the grid or an operator."""
    if not caller.caller().internal:
        raise OperatorsOnlyError(
            "this call is for the grid's operators; it takes the internal token (NANOGRID_INTERNAL_TOKEN) for a key"
        )
