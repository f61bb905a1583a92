"""URLs that open an output file without a key until they expire, for stores that cannot sign by themselves."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlencode

from nanogrid.errors import NotFoundError

_SECRET_BYTES = 32


class UrlSigner:
    """Signs and checks `/{key}?expires=…&signature=…` with HMAC-SHA256 over expiry and key."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ValueError(f"the secret for signing URLs has {len(secret)} bytes; it needs {_SECRET_BYTES}")
        self._secret = secret
        self._clock = clock

    def url(self, key: str, ttl_s: int) -> str:
        """Path and query for the gateway to prefix with its own address. Good for `ttl_s` seconds."""
        expires_at_s = int(self._clock()) + ttl_s
        query = urlencode({"expires": expires_at_s, "signature": self._signature(key, expires_at_s)})
        return f"/{quote(key)}?{query}"

    def check(self, key: str, expires_at_s: int, signature: str) -> None:
        """NotFoundError unless we signed exactly this and it has not expired: guessing reveals nothing."""
        expected = self._signature(key, expires_at_s).encode()
        is_ours = hmac.compare_digest(expected, signature.encode(errors="replace"))
        if not is_ours or expires_at_s <= self._clock():
            raise NotFoundError("the file is not there, or its URL is wrong or has expired; ask for a new URL")

    def _signature(self, key: str, expires_at_s: int) -> str:
        signed = f"{expires_at_s}\n{key}".encode(errors="surrogatepass")
        return hmac.new(self._secret, signed, hashlib.sha256).hexdigest()


def ensure_secret(path: Path) -> bytes:
    """Return the secret kept at `path`, made at first use. However many processes start at once, they get the same."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # unlike a rename, a link never replaces what another process made first
            path.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
    return path.read_bytes()
