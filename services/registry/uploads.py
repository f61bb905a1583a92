"""The rules of uploads that their callers named (`Idempotency-Key`): sending one again makes no second function."""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import replace

from nanogrid import caller
from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError
from nanogrid.idempotency import check_idempotency_key
from nanogrid.v1.registry_pb2 import CreateFunctionRequest, EarlierUpload, UploadReservation
from services.registry.store import NamedUpload, Store

RESERVED_S = 15 * 60  # far longer than a gateway takes to notice that an upload failed; only one that died leaves it be
REMEMBERED_S = 24 * 3600  # as jobs are

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TRIES = 3  # a key whose function was deleted is freed first, and somebody else may be quicker to take it


class Uploads:
    """Uploads under a caller's key: their reservations and their functions."""

    def __init__(self, store: Store, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._store = store
        self._now_us = now_us

    async def reserve(self, reservation: UploadReservation) -> EarlierUpload | None:
        """Reserve the caller's key. None, or the function it made earlier. ConflictError while another has it."""
        for _ in range(_TRIES):
            now_us = self._now_us()
            wanted = replace(_upload(reservation), free_at_us=now_us + RESERVED_S * 1_000_000)
            taken = await self._store.reserve_upload(wanted, now_us)
            if taken is None:
                return None
            if not taken.fingerprint:
                break
            try:
                function = await self._store.get_function(taken.function_id)
            except NotFoundError:
                await self._store.release_upload(taken)
            else:
                return EarlierUpload(function=function, fingerprint=taken.fingerprint)
        raise ConflictError(
            "an upload with this Idempotency-Key is under way; ask again once it has ended", field="idempotency_key"
        )

    async def release(self, reservation: UploadReservation) -> bool:
        """Give an upload up. True when it has made a function: that, and its key, stay."""
        upload = _upload(reservation)
        left = await self._store.release_upload(upload)
        return left is not None and left.reservation_id == upload.reservation_id

    def completed(self, request: CreateFunctionRequest) -> NamedUpload | None:
        """Return the upload to record together with its function, or None without a key. InvalidFieldError."""
        if not request.HasField("reservation"):
            return None
        if not _SHA256.fullmatch(request.fingerprint):
            raise InvalidFieldError("fingerprint", "is not 64 lower-case hex digits")
        return replace(
            _upload(request.reservation),
            free_at_us=self._now_us() + REMEMBERED_S * 1_000_000,
            fingerprint=request.fingerprint,
            function_id=request.function.function_id,
        )


def _upload(reservation: UploadReservation) -> NamedUpload:
    check_idempotency_key(reservation.idempotency_key, "idempotency_key")
    if not _UUID.fullmatch(reservation.reservation_id):
        raise InvalidFieldError("reservation_id", "is not a UUID in its canonical form")
    name = _name(caller.caller().owner, reservation.idempotency_key)
    return NamedUpload(name, reservation.reservation_id, free_at_us=0)


def _name(owner: str, key: str) -> str:
    # No key holds a zero byte, so that no two pairs read the same.
    return hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()
