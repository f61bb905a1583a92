"""Points in time as messages hold them. Timestamp's own methods go through datetime and take ten times as long."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

_NANOS_PER_S = 1_000_000_000
_NANOS_PER_MS = 1_000_000


def set_now(moment: Timestamp) -> None:
    """Make it the present."""
    moment.seconds, moment.nanos = divmod(time.time_ns(), _NANOS_PER_S)


def set_millis(moment: Timestamp, millis: int) -> None:
    """Make it so many milliseconds after 1970."""
    moment.seconds = millis // 1000
    moment.nanos = millis % 1000 * _NANOS_PER_MS


def millis(moment: Timestamp) -> int:
    """Return whole milliseconds since 1970."""
    return moment.seconds * 1000 + moment.nanos // _NANOS_PER_MS
