"""Collects a bounded number of observations and splits them into calls that CloudWatch accepts."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

MOST_POINTS = 20_000  # distinct values remembered, some 10 MB when each is of another function
_VALUES = 150  # distinct values in one datum, CloudWatch's limit
_CALL_DATA = 1_000  # data in one call, CloudWatch's limit
_CALL_BYTES = 900_000  # of one call, below CloudWatch's limit of 1 MB
_DATUM_BYTES, _VALUE_BYTES = 600, 120  # their longest form on the wire, without the names


@dataclass(slots=True)
class Datum:
    """Values of one function and their counts, from `began_at` on."""

    function_id: str
    runtime: str
    began_at: datetime
    counts: dict[int, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Return an upper bound of its size on the wire."""
        return _DATUM_BYTES + len(self.function_id) + len(self.runtime) + _VALUE_BYTES * len(self.counts)

    @property
    def calls(self) -> int:
        """Return the number of observations."""
        return sum(self.counts.values())


class Batch:
    """Data by age, bounded. For one thread at a time. `dropped` counts the observations dropped for lack of room."""

    def __init__(self, most_points: int = MOST_POINTS) -> None:
        self._most_points = most_points
        self._data: deque[Datum] = deque()
        self._open: dict[tuple[str, str], Datum] = {}
        self.points = 0
        self.dropped = 0

    def add(self, function_id: str, runtime: str, value: int) -> None:
        """Add an observation, and drop the oldest data when full."""
        key = (function_id, runtime)
        datum = self._open.get(key)
        if datum is None or (len(datum.counts) == _VALUES and value not in datum.counts):
            datum = self._open[key] = Datum(function_id, runtime, datetime.now(UTC))
            self._data.append(datum)
        self.points += value not in datum.counts
        datum.counts[value] = datum.counts.get(value, 0) + 1
        self._keep_within_bounds()

    def take(self) -> list[Datum]:
        """Return all data and empty the batch."""
        taken = list(self._data)
        self._data.clear()
        self._open.clear()
        self.points = 0
        return taken

    def put_back(self, data: list[Datum]) -> None:
        """Put back undelivered data, older than everything added since."""
        self._data.extendleft(reversed(data))
        self.points += sum(len(datum.counts) for datum in data)
        self._keep_within_bounds()

    def _keep_within_bounds(self) -> None:
        while self.points > self._most_points:
            oldest = self._data.popleft()
            self.points -= len(oldest.counts)
            self.dropped += oldest.calls
            if self._open.get((oldest.function_id, oldest.runtime)) is oldest:
                del self._open[oldest.function_id, oldest.runtime]


def calls_of(data: list[Datum]) -> Iterator[list[Datum]]:
    """Split data, in order, into calls within CloudWatch's limits. Pure."""
    call: list[Datum] = []
    size = 0
    for datum in data:
        if call and (len(call) == _CALL_DATA or size + datum.size_bytes > _CALL_BYTES):
            yield call
            call, size = [], 0
        call.append(datum)
        size += datum.size_bytes
    if call:
        yield call
