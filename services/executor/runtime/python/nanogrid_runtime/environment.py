"""Sets the environment variables of each call without leaking memory.

`setenv` keeps every value it was ever given, so that old payloads would fill the memory of a busy sandbox. `putenv`
uses a buffer of the caller instead, which the next call overwrites.
"""

from __future__ import annotations

import ctypes
import os

PAYLOAD_BYTES = 96 * 1024  # no string of more than 128 KiB can be passed to a child process
_JOB_ID_BYTES = 1024

_putenv = ctypes.CDLL(None).putenv
_putenv.argtypes = [ctypes.c_void_p]


class _Variable:
    """One variable in a buffer of fixed size, allocated when it is first needed."""

    def __init__(self, name: bytes, size: int) -> None:
        self._name = name
        self._size = size
        self._buffer = None

    def set(self, value: bytes) -> None:
        if b"\0" in value or len(value) > self._size:
            value = b""
        if self._buffer is None:
            self._buffer = ctypes.create_string_buffer(len(self._name) + self._size + 2)
        self._buffer.value = self._name + b"=" + value
        _putenv(ctypes.addressof(self._buffer))
        # As os.environ does, without its call of setenv.
        os.environ._data[self._name] = value  # noqa: SLF001 - has been this dictionary since Python 3


_JOB_ID = _Variable(b"JOB_ID", _JOB_ID_BYTES)
_PAYLOAD = _Variable(b"PAYLOAD", PAYLOAD_BYTES)


def set_call(job_id: str, payload: bytes) -> None:
    """Set JOB_ID and PAYLOAD. A payload beyond 96 KiB is in PAYLOAD_FILE only, and PAYLOAD is empty."""
    _JOB_ID.set(job_id.encode())
    _PAYLOAD.set(payload)
