"""Bytes to and from Google Cloud Storage piece by piece, taken up again where a connection broke."""

import base64
import re
from http import HTTPStatus
from typing import Any

import google_crc32c
from google.auth.transport.requests import AuthorizedSession

from nanogrid.errors import UnavailableError
from services.artifacts.blobs.gs_client import RETRY, TIMEOUT, from_http_response

PART_BYTES = 8 * 1024 * 1024  # of an upload, sent at once; Google wants a multiple of 256 KiB

_CRC32C = re.compile("crc32c=([^,]+)")
_TAKEN = re.compile(r"bytes=0-(\d+)")


class GsUpload:
    """A resumable upload, by one thread at a time. Nothing is stored before `finish`.

    https://cloud.google.com/storage/docs/performing-resumable-uploads has the protocol.
    """

    def __init__(self, session: AuthorizedSession, url: str) -> None:
        self._session = session
        self._url = url
        self._crc = google_crc32c.Checksum()
        self._start = 0  # of the part that is being sent
        self._taken = 0  # bytes that Google said it has
        self._is_sure = True
        self._is_stored = False

    def send(self, part: bytes) -> None:
        """Send a part of PART_BYTES that is not the last."""
        self._deliver(part, None)

    def finish(self, part: bytes) -> None:
        """Send the last part and make a blob of it all."""
        self._deliver(part, self._start + len(part))

    def abandon(self) -> None:
        """Forget the parts that were sent."""
        self._session.delete(self._url, timeout=TIMEOUT)

    def _deliver(self, part: bytes, total: int | None) -> None:
        self._crc.update(part)
        while not self._is_delivered(part, total):
            RETRY(self._attempt)(part, total)
        self._start += len(part)

    def _is_delivered(self, part: bytes, total: int | None) -> bool:
        return self._is_stored if total is not None else self._taken == self._start + len(part)

    def _attempt(self, part: bytes, total: int | None) -> None:
        if not self._is_sure:
            self._hear(self._put(b"", "bytes */*"))
        if self._is_delivered(part, total):
            return
        rest = part[self._taken - self._start :]
        size = "*" if total is None else str(total)
        span = f"{self._taken}-{self._taken + len(rest) - 1}" if rest else "*"
        before, self._is_sure = self._taken, False
        self._hear(self._put(rest, f"bytes {span}/{size}", is_last=total is not None))
        if self._taken == before and not self._is_stored:
            self._is_sure = False
            raise ConnectionError("none of it was taken")

    def _put(self, data: bytes, span: str, *, is_last: bool = False) -> Any:
        headers = {"Content-Range": span}
        if is_last:
            headers["X-Goog-Hash"] = f"crc32c={_encoded(self._crc)}"
        return self._session.put(self._url, data=data, headers=headers, timeout=TIMEOUT, allow_redirects=False)

    def _hear(self, answer: Any) -> None:
        if answer.status_code in {HTTPStatus.OK, HTTPStatus.CREATED}:
            self._is_stored = True
        elif answer.status_code == HTTPStatus.PERMANENT_REDIRECT:  # "go on", says Google with it
            found = _TAKEN.fullmatch(answer.headers.get("Range", ""))
            self._taken = int(found[1]) + 1 if found else 0
            if self._taken < self._start:
                raise UnavailableError("Google Cloud Storage lost a part of an upload; try again")
        else:
            raise from_http_response(answer)
        self._is_sure = True


class Download:
    """The bytes of one generation of a blob, from `first_byte` on, by one thread at a time.

    Only the whole blob has a checksum: of a part the transport's own has to do.
    """

    def __init__(self, session: AuthorizedSession, url: str, size_bytes: int, crc32c: str, first_byte: int = 0) -> None:
        self._session = session
        self._url = url
        self._size_bytes = size_bytes
        self._crc32c = crc32c
        self._crc = google_crc32c.Checksum()
        self._is_whole = first_byte == 0
        self._offset = first_byte
        self._answer: Any = None

    def begin(self) -> None:
        """Ask for the bytes. From then on they are the reader's, also if the blob is replaced."""
        if self._offset < self._size_bytes:
            RETRY(self._ask)()

    def read(self, most: int) -> bytes:
        """Return the next bytes, `most` if there are as many. B"" at the end. UnavailableError if they came damaged."""
        if self._offset < self._size_bytes:
            data: bytes = RETRY(self._attempt)(most)
            return data
        if self._is_whole and _encoded(self._crc) != self._crc32c:
            raise UnavailableError("a blob came from Google Cloud Storage with damage; try again")
        return b""

    def close(self) -> None:
        """Break off the rest."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _attempt(self, most: int) -> bytes:
        if self._answer is None:
            self._ask()
        try:
            data: bytes = self._answer.raw.read(min(most, self._size_bytes - self._offset), decode_content=False)
        except Exception:
            self.close()
            raise
        if not data:
            self.close()
            raise ConnectionError("the download ended early")
        self._offset += len(data)
        self._crc.update(data)
        return data

    def _ask(self) -> None:
        self._answer = _asked(self._session, self._url, {"Range": f"bytes={self._offset}-"})


def fetch(session: AuthorizedSession, url: str) -> bytes:
    """Return all bytes of a small blob."""
    data: bytes = RETRY(_fetched)(session, url)
    return data


def _fetched(session: AuthorizedSession, url: str) -> bytes:
    with _asked(session, url, {}) as answer:
        data: bytes = answer.raw.read(decode_content=False)
        stored = _CRC32C.search(answer.headers.get("X-Goog-Hash", ""))
    if stored and stored[1] != _encoded(google_crc32c.Checksum(data)):
        raise ConnectionError("it came damaged")
    return data


def _asked(session: AuthorizedSession, url: str, headers: dict[str, str]) -> Any:
    # As it is stored: what was put there compressed is not inflated on the way.
    answer = session.get(url, headers={"Accept-Encoding": "gzip", **headers}, timeout=TIMEOUT, stream=True)
    if answer.status_code in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        return answer
    with answer:  # Google's own client leaves the connection open here
        raise from_http_response(answer)


def _encoded(crc32c: Any) -> str:
    digest: bytes = crc32c.digest()
    return base64.b64encode(digest).decode()
