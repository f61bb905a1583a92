"""Advises on a function's memory limit (auto-tuner), from the peak memory of its calls."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

from cachetools import LRUCache

from nanogrid.limits import MAX_MEMORY_MB, MIN_MEMORY_MB

_MIB = 1024 * 1024
_PAGE_BYTES = 4096
_WINDOW = 100  # calls remembered per function
_FUNCTIONS = 10_000  # functions remembered, least recently used dropped first
_HEADROOM = 1.25  # over the highest peak, for a call that needs more
_STEP_MB = 16
_TIGHT = 0.9  # a peak above this share of the limit is close to an OutOfMemory
_SURE_CALLS = 10  # measured calls before `auto_memory` acts
_BACK_OFF_CALLS = 100  # calls that keep the setting after an OutOfMemory


@dataclass(frozen=True, slots=True)
class Advice:
    """A sufficient limit, and its saving (percent, 0 when the limit should rise or stay)."""

    recommended_memory_mb: int
    saving_percent: int
    calls: int
    tip: str


NO_ADVICE = Advice(0, 0, 0, "")


def own_peak(peak_bytes: int, runtime_bytes: int) -> int:
    """Return the function's share of a peak, 0 only for a peak that was not measured: whatever runs holds a page."""
    return max(_PAGE_BYTES, peak_bytes - runtime_bytes) if peak_bytes else 0


def needed_mb(peaks: Collection[int]) -> int:
    """Return the limit (MB) for these peaks (bytes, the runtime's share included) with headroom, in whole steps."""
    steps = -(-max(peaks) * _HEADROOM // (_STEP_MB * _MIB))
    return min(MAX_MEMORY_MB, max(MIN_MEMORY_MB, int(steps) * _STEP_MB))


def advise(peaks: Collection[int], memory_mb: int, runtime_bytes: int = 0) -> Advice:
    """Return advice from the peak bytes of past calls, the runtime's share included. Never below the peaks. Pure."""
    return _advise(max(peaks), len(peaks), memory_mb, runtime_bytes) if peaks else NO_ADVICE


@lru_cache(maxsize=1024)  # a function in use has a full window and the same highest peak for many calls
def _advise(highest: int, count: int, memory_mb: int, runtime_bytes: int) -> Advice:
    wanted = needed_mb([highest])
    calls = f"{count} call{'s' if count > 1 else ''}"
    own = f" + {_mib(runtime_bytes)} MiB for the runtime" if runtime_bytes else ""
    used = f"memory peaked at {_mib(highest - runtime_bytes)} MiB{own} of {memory_mb} MiB over {calls}"
    if highest > _TIGHT * memory_mb * _MIB and wanted > memory_mb:
        return Advice(wanted, 0, count, f"{used}, close to the limit; set memory_mb to {wanted}")
    if wanted >= memory_mb:
        return Advice(memory_mb, 0, count, f"{used}; the setting fits")
    saving = round(100 * (memory_mb - wanted) / memory_mb)
    return Advice(wanted, saving, count, f"{used}; {wanted} MiB would do and save {saving} %")


@dataclass(slots=True)
class _Seen:
    """The last calls of one function."""

    peaks: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    backing_off: int = 0  # calls left that keep the setting


class MemoryAdvisor:
    """Remembers the last calls of each function on this executor, by its messages' identity. For one event loop."""

    def __init__(self) -> None:
        self._seen: LRUCache[str, _Seen] = LRUCache(_FUNCTIONS)

    def learn(self, identity: str, memory_mb: int, peak_bytes: int, runtime_bytes: int = 0) -> Advice:
        """Count a call in, and advise about the setting `memory_mb`. A peak of 0 was not measured, teaches nothing."""
        seen = self._of(identity)
        seen.backing_off = max(0, seen.backing_off - 1)
        if peak_bytes:
            seen.peaks.append(peak_bytes)
        return advise(seen.peaks, memory_mb, runtime_bytes)

    def ran_out(self, identity: str) -> None:
        """Note an OutOfMemory: `limit_mb` returns the setting for a while, and the peaks are forgotten."""
        seen = self._of(identity)
        seen.peaks.clear()
        seen.backing_off = _BACK_OFF_CALLS

    def limit_mb(self, identity: str, memory_mb: int) -> int:
        """Return the limit to run an `auto_memory` function with: its setting, or less once enough calls are known."""
        seen = self._seen.get(identity)
        if seen is None or seen.backing_off or len(seen.peaks) < _SURE_CALLS:
            return memory_mb
        return min(memory_mb, needed_mb(seen.peaks))

    def _of(self, identity: str) -> _Seen:
        if (seen := self._seen.get(identity)) is None:
            seen = self._seen[identity] = _Seen()
        return seen


def _mib(size_bytes: int) -> int:
    """Return whole MiB, rounded up."""
    return -(-max(0, size_bytes) // _MIB)
