"""Handles `Idempotency-Key`: a repeated request with the same key gets the first one's answer."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from gateway import backends
from nanogrid.errors import InvalidFieldError, NanoGridError, UnavailableError, UnprocessableError
from nanogrid.idempotency import check_idempotency_key, digest_of
from nanogrid.logs import logger
from nanogrid.v1.registry_pb2 import EarlierUpload, ReleaseUploadRequest, ReserveUploadRequest, UploadReservation
from nanogrid.v1.resources_pb2 import Function

log = logger()

_HEADER = "Idempotency-Key"


def key_of(request: Request) -> str:
    """Return the caller's key, "" without one. InvalidFieldError for a malformed key or for several."""
    keys = request.headers.getlist(_HEADER)
    if not keys:
        return ""
    if len(keys) > 1:
        raise InvalidFieldError(_HEADER, "is there twice; send one")
    check_idempotency_key(keys[0], _HEADER)
    return keys[0]


class Attempt:
    """One attempt to create a function under a key. Without a key it does nothing."""

    def __init__(self, grid: backends.Backends, key: str) -> None:
        self._registry = grid.registry
        known = {"idempotency_key": key, "reservation_id": str(uuid.uuid4())}
        self.reservation = UploadReservation(**known) if key else None

    async def reserve(self) -> EarlierUpload | None:
        """Reserve the key. Return the function it made earlier, or None. ConflictError while another attempt has it."""
        if self.reservation is None:
            return None
        request = ReserveUploadRequest(reservation=self.reservation)
        try:
            answer = await self._registry.ReserveUpload(request, timeout=backends.ANSWER_S)
        except UnavailableError:
            await self.give_up()  # the reservation may have succeeded without an answer
            raise
        return answer.earlier if answer.HasField("earlier") else None

    async def give_up(self) -> bool:
        """Free the key. Return True when no function was or will be recorded with it.

        Otherwise a repeated request may be answered with that function.
        """
        if self.reservation is None:
            return True
        request = ReleaseUploadRequest(reservation=self.reservation)
        try:
            return not (await self._registry.ReleaseUpload(request, timeout=backends.ANSWER_S)).recorded
        except NanoGridError as error:
            log.warning("idempotency key not freed; it lapses by itself", error=error.message)
            return False


def same(earlier: EarlierUpload, fingerprint: str) -> Function:
    """Return the function that the key made earlier. UnprocessableError when the request was different."""
    if earlier.fingerprint != fingerprint:
        raise UnprocessableError(
            f"this {_HEADER} was used for something else; take a new key for a new question", field="idempotency_key"
        )
    return earlier.function


def of_form(fields: Mapping[str, str], filename: str, file_sha256: bytes) -> str:
    """Return the fingerprint of an upload, independent of the order of its fields."""
    named = [part for pair in sorted(fields.items()) for part in pair]
    return digest_of(b"upload", filename.encode(), file_sha256, *(part.encode() for part in named))


def of_json(body: Mapping[str, Any]) -> str:
    """Return the fingerprint of a JSON object, independent of order and blanks. Null counts as missing."""
    given = {name: value for name, value in body.items() if value is not None}
    return digest_of(b"json", json.dumps(given, sort_keys=True).encode())
