"""One Google Cloud Storage client for many threads, and its errors in our words."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from google.auth.credentials import Credentials, Signing
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from nanogrid.errors import NotFoundError, UnavailableError
from services.artifacts.gcp_credentials import load_credentials

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it wants a newer grpcio, which it does not use for this
    from google.api_core.exceptions import (
        Forbidden,
        GoogleAPICallError,
        NotFound,
        PreconditionFailed,
        RetryError,
        Unauthorized,
        from_http_response,
    )
    from google.cloud import storage
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from google.cloud.storage.retry import DEFAULT_RETRY

__all__ = [
    "RETRY",
    "TIMEOUT",
    "GsClient",
    "GsConnection",
    "NotFound",
    "PreconditionFailed",
    "from_http_response",
    "is_bucket_missing",
]

# Blips, throttling: with jitter, for so many seconds from the first attempt on. An outage is for the caller to sit out.
RETRY = DEFAULT_RETRY.with_delay(initial=0.1, maximum=1.0, multiplier=2.0).with_timeout(5.0)
TIMEOUT = (3.0, 30.0)  # seconds to connect, and between bytes

_REFUSED = (Unauthorized, Forbidden, GoogleAuthError)
_FAILED = (
    GoogleAPICallError, RetryError, InvalidResponse, DataCorruption, requests.RequestException,
    urllib3.exceptions.HTTPError, OSError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GsConnection:
    """A bucket, and the session that its client and the streams share."""

    bucket: Any
    session: AuthorizedSession
    credentials: Credentials

    def media_url(self, blob: Any) -> str:
        """Tell where the bytes are: of exactly this generation, where the blob has been looked at."""
        which = f"&generation={blob.generation}" if blob.generation else ""
        return f"{self.bucket.client.api_endpoint}/download/storage/v1{blob.path}?alt=media{which}"

    @property
    def signs(self) -> bool:
        """Tell whether the credentials can sign URLs by themselves."""
        return isinstance(self.credentials, Signing)


class GsClient:
    """Connects at first use, so that neither Google nor a secret needs to be there when the process starts."""

    def __init__(self, bucket: str, connections: int) -> None:
        self._bucket = bucket
        self._connections = connections
        self._lock = threading.Lock()
        self._link: GsConnection | None = None

    def link(self) -> GsConnection:
        """Return the link, made if need be. Blocks. UnavailableError without credentials."""
        with self._lock:
            if self._link is None:
                self._link = self._open()
            return self._link

    def close(self) -> None:
        """Close the connections. The next use opens anew, with credentials as they are then."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.session.close()

    def _open(self) -> GsConnection:
        credentials = load_credentials()
        session = AuthorizedSession(credentials)
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=self._connections))
        # Of its own, the client would keep ten connections and throw the others away after each request.
        client = storage.Client(project="unused", credentials=credentials, _http=session)
        return GsConnection(client.bucket(self._bucket), session, credentials)

    @contextmanager
    def translated(self, wanted: str = "") -> Iterator[None]:
        """Let no SDK error through. After a refusal the next use has new credentials.

        A secret may have changed.
        """
        try:
            with _translated(wanted):
                yield
        except UnavailableError as error:
            if isinstance(error.__cause__, _REFUSED):
                self.close()
            raise


@contextmanager
def _translated(wanted: str) -> Iterator[None]:
    """Let no SDK error leave the adapter. One that means that the wanted blob is not there is NotFoundError."""
    try:
        yield
    except NotFound as error:
        if is_bucket_missing(error):
            raise UnavailableError("the bucket in Google Cloud Storage does not exist; create it") from error
        if wanted:
            raise NotFoundError(f"{wanted} is not there", field="key") from error
        raise _failed(error) from error
    except _REFUSED as error:
        cure = "give them the role Storage Object User on the bucket"
        raise UnavailableError(f"Google Cloud Storage refuses the grid's credentials; {cure}") from error
    except _FAILED as error:
        raise _failed(error) from error


def is_bucket_missing(error: BaseException) -> bool:
    """Tell whether it is the bucket that was not found."""
    return "bucket does not exist" in str(error)


def _failed(error: BaseException) -> UnavailableError:
    return UnavailableError(f"Google Cloud Storage failed ({_said(error)}); try again")


def _said(error: BaseException) -> str:
    """Status or kind: messages may quote URLs of upload sessions, which are as good as a password."""
    cause = error.cause if isinstance(error, RetryError) and error.cause else error
    answer = getattr(cause, "response", None)
    status = getattr(cause, "code", None) or getattr(answer, "status_code", None)
    return f"status {int(status)}" if status else type(cause).__name__
