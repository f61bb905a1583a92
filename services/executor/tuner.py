"""The auto-tuner: what memory a function needs, learnt from what its calls used."""

from collections import OrderedDict, deque
from dataclasses import dataclass

_MIB = 1024 * 1024
_WINDOW = 100  # calls remembered per function
_FUNCTIONS = 10_000  # functions remembered; the longest unused goes first
_HEADROOM = 1.25  # over the highest peak seen: what the next call may need more
_STEP_MB = 16
_LEAST_MB, _MOST_MB = 64, 10_240  # what may be set
_TIGHT = 0.9  # a peak above this share of the limit is close to an OutOfMemory


@dataclass(frozen=True, slots=True)
class Advice:
    """What would do, and what it saves of the limit (percent, 0 when the limit should rise or stay)."""

    recommended_memory_mb: int
    saving_percent: int
    calls: int
    tip: str


NO_ADVICE = Advice(0, 0, 0, "")


def advise(peaks: list[int], memory_mb: int) -> Advice:
    """Advice from peak bytes of past calls. Pure. Never below what was seen; NO_ADVICE for no peaks."""
    if not peaks:
        return NO_ADVICE
    highest = max(peaks)
    steps = -(-highest * _HEADROOM // (_STEP_MB * _MIB))
    wanted = min(_MOST_MB, max(_LEAST_MB, int(steps) * _STEP_MB))
    calls = f"{len(peaks)} call{'s' if len(peaks) > 1 else ''}"
    used = f"memory peaked at {-(-highest // _MIB)} MiB of {memory_mb} MiB over {calls}"
    if highest > _TIGHT * memory_mb * _MIB and wanted > memory_mb:
        return Advice(wanted, 0, len(peaks), f"{used}, close to the limit; set memory_mb to {wanted}")
    if wanted >= memory_mb:
        return Advice(memory_mb, 0, len(peaks), f"{used}; the setting fits")
    saving = round(100 * (memory_mb - wanted) / memory_mb)
    return Advice(wanted, saving, len(peaks), f"{used}; {wanted} MiB would do and save {saving} %")


class Tuner:
    """Remembers the last calls of each function on this executor."""

    def __init__(self) -> None:
        self._peaks: OrderedDict[str, deque[int]] = OrderedDict()

    def learn(self, function_id: str, memory_mb: int, peak_bytes: int) -> Advice:
        """Count a call in, and advise. A peak of 0 was not measured and teaches nothing."""
        peaks = self._peaks.setdefault(function_id, deque(maxlen=_WINDOW))
        self._peaks.move_to_end(function_id)
        if len(self._peaks) > _FUNCTIONS:
            self._peaks.popitem(last=False)
        if peak_bytes:
            peaks.append(peak_bytes)
        return advise(list(peaks), memory_mb)
