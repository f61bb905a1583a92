"""Evicts idle sandboxes while the machine is short of memory. Sandboxes that serve calls are never touched."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nanogrid.logs import logger
from services.executor.memory import MemoryReader, MemoryReading
from services.executor.pool.pool import Pool

log = logger()

_LOOK_S = 1.0  # a killed sandbox has given its memory back by the next look
_CALM_S = 5.0  # idle sandboxes are kept again after this time without pressure: keeping them may bring it back
_MARGIN = 0.25  # of the floor: pressure ends so far above it, else the last eviction would switch it to and fro
_STALLS_COUNT = 4  # times the floor: with more than that available, a stall is of a function at its own limit
_MOST_EVICTED = 64  # per look, reached after six of them


@dataclass(frozen=True, slots=True)
class PressureLimits:
    """Memory is short while less than `floor_percent` is available.

    It is short, too, while less than four times that is available and processes wait for memory for `stall_percent` of
    the time. Stalls alone prove nothing: the kernel counts those of a function that thrashes within its own limit too.
    """

    floor_percent: float
    stall_percent: float

    def is_exceeded(self, reading: MemoryReading) -> bool:
        """Return whether pressure begins."""
        return reading.available_percent < self.floor_percent or self._stalls(reading, self.stall_percent)

    def is_cleared(self, reading: MemoryReading) -> bool:
        """Return whether pressure may end. Between this and `is_exceeded` it stays as it is."""
        margin = _MARGIN * min(self.floor_percent, 100.0 - self.floor_percent)  # can be reached above a high floor, too
        enough = reading.available_percent >= self.floor_percent + margin
        return enough and not self._stalls(reading, self.stall_percent / 2)

    def _stalls(self, reading: MemoryReading, percent: float) -> bool:
        if reading.stalled_percent is None or reading.available_percent >= _STALLS_COUNT * self.floor_percent:
            return False
        return reading.stalled_percent >= percent


class Pressure:
    """Decides on the readings of one machine. `is_on` from the first exceeded one to `_CALM_S` without any."""

    def __init__(self, limits: PressureLimits) -> None:
        self._limits = limits
        self._batch = 1
        self._cleared_at: float | None = None
        self.is_on = False

    def judge(self, readings: Sequence[MemoryReading], now: float) -> int:
        """Return how many idle sandboxes to evict now: 1, 2, 4 … until the readings are cleared.

        It begins gently because one sandbox may be enough. `now` is in monotonic seconds.
        """
        if self.worst(readings) is not None:
            self.is_on = True
        if not self.is_on:
            return 0
        if not all(self._limits.is_cleared(reading) for reading in readings):
            count, self._batch = self._batch, min(2 * self._batch, _MOST_EVICTED)
            self._cleared_at = None
            return count
        self._batch = 1
        if self._cleared_at is None:
            self._cleared_at = now
        self.is_on = now - self._cleared_at < _CALM_S
        return 0

    def worst(self, readings: Sequence[MemoryReading]) -> MemoryReading | None:
        """Return the exceeded reading with the least memory available, if there is one."""
        exceeded = filter(self._limits.is_exceeded, readings)
        return min(exceeded, key=lambda reading: reading.available_percent, default=None)


class PressureWatch:
    """Looks at the machine's memory and tells the pool. `evicted` counts since the start."""

    def __init__(self, reader: MemoryReader, limits: PressureLimits, pool: Pool) -> None:
        self._reader = reader
        self._pressure = Pressure(limits)
        self._pool = pool
        self._readable = True
        self._since = 0.0
        self._evicted_before = 0
        self.evicted = 0

    @property
    def is_on(self) -> bool:
        """Return whether memory is short."""
        return self._pressure.is_on

    async def run(self) -> None:
        """Call `look` every `_LOOK_S` seconds for ever."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(_LOOK_S)

    def look(self, now: float) -> None:
        """Read once and evict what that asks for. `now` is in monotonic seconds."""
        was_on, readings = self.is_on, self._read()
        count = self._pressure.judge(readings, now)
        if self.is_on is not was_on:
            self._pool.keep_idle(not self.is_on)
            self._tell(readings, now)
        if count and (evicted := self._pool.evict(count)):
            self.evicted += evicted
            log.info("idle sandboxes evicted", count=evicted)

    def _read(self) -> list[MemoryReading]:
        """Return no readings where there are none, which ends pressure."""
        try:
            readings = self._reader.read()
        except OSError as error:
            if self._readable:
                log.warning("the machine's memory cannot be read; no sandbox is evicted for it", error=str(error))
            self._readable = False
            return []
        self._readable = True
        return readings

    def _tell(self, readings: Sequence[MemoryReading], now: float) -> None:
        worst = self._pressure.worst(readings)
        if worst is None:
            evicted, seconds = self.evicted - self._evicted_before, round(now - self._since)
            log.info("memory pressure is over; idle sandboxes are kept again", evicted=evicted, seconds=seconds)
            return
        self._since, self._evicted_before = now, self.evicted
        stalled = None if worst.stalled_percent is None else round(worst.stalled_percent, 1)
        log.warning(
            "memory pressure: idle sandboxes are evicted and none kept",
            scope=worst.scope,
            available_percent=round(worst.available_percent, 1),
            stalled_percent=stalled,
        )
