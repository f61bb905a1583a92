"""Converts protobuf Timestamps. Their own methods go through datetime and take ten times as long."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

_NANOS_PER_S = 1_000_000_000
_NANOS_PER_MS = 1_000_000


def set_now(moment: Timestamp) -> None:
    """Set a Timestamp to the current time."""
    moment.seconds, moment.nanos = divmod(time.time_ns(), _NANOS_PER_S)


def set_millis(moment: Timestamp, millis: int) -> None:
    """Set a Timestamp to milliseconds since 1970."""
    moment.seconds = millis // 1000
    moment.nanos = millis % 1000 * _NANOS_PER_MS


def millis(moment: Timestamp) -> int:
    """Return a Timestamp as whole milliseconds since 1970."""
    return moment.seconds * 1000 + moment.nanos // _NANOS_PER_MS
