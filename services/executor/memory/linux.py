"""Implements MemoryReader on Linux: /proc/meminfo, pressure stall information (PSI), and cgroups with a limit.

Formats: man 5 proc_meminfo, and the kernel's documentation of PSI, cgroup v1 (memory) and cgroup v2.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from services.executor.memory import MemoryReading
from services.executor.sandbox.cgroup import Mount, cgroup_folders, mounts

_US_PER_PERCENT = 10_000  # microseconds of a second


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one version of cgroups. The parts `reclaimable` of memory.stat can be freed."""

    limits: tuple[str, ...]
    usage: str
    reclaimable: frozenset[str]


_V1 = _Files(
    ("memory.limit_in_bytes",), "memory.usage_in_bytes", frozenset({"total_active_file", "total_inactive_file"})
)
_V2 = _Files(
    ("memory.max", "memory.high"), "memory.current", frozenset({"active_file", "inactive_file", "slab_reclaimable"})
)


class LinuxMemory:
    """Reads the memory of process `pid`: of its machine, and of its cgroup and the parents of that, if limited.

    `root` is where the machine's /proc and /sys are.
    """

    def __init__(
        self, pid: int | str = "self", root: Path = Path("/"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._proc = root / "proc"
        self._cgroup = self._proc / str(pid) / "cgroup"
        self._clock = clock
        self._own = ""
        self._levels: list[tuple[Path, _Files]] = []
        self._stalled: dict[Path, tuple[float, int]] = {}  # by file: when it was read, and its microseconds

    def read(self) -> list[MemoryReading]:
        """See the port."""
        machine = _numbers((self._proc / "meminfo").read_text())
        total = machine["MemTotal"] << 10
        stalled = self._stalled_percent(self._proc / "pressure/memory")
        readings = [MemoryReading("machine", 100.0 * machine["MemAvailable"] / machine["MemTotal"], stalled)]
        own = self._cgroup.read_text()
        if own != self._own:  # it is moved seldom, and its folders take longer to find than all else
            self._own, self._levels = own, list(self._levels_of(own))
        for folder, files in self._levels:
            try:
                limit = min(_size((folder / name).read_text()) for name in files.limits)
                if limit < total:
                    readings.append(self._cgroup_reading(folder, files, limit))
            except OSError:
                continue  # the root has no limit, and this process may have moved
        return readings

    @cached_property
    def _mounts(self) -> dict[str, Mount]:
        return mounts(self._proc / "self/mountinfo")  # hundreds of lines where containers run, so read once

    def _levels_of(self, own: str) -> Iterator[tuple[Path, _Files]]:
        """Yield the process's cgroup of the memory controller, then its parents as far as they can be seen."""
        folders = cgroup_folders(own, self._mounts)
        controller, files = ("memory", _V1) if "memory" in folders else ("", _V2)
        if controller not in folders:
            return
        top = self._mounts[controller].point
        for folder in (folders[controller], *folders[controller].parents):
            if folder.is_relative_to(top):
                yield self._root / folder.relative_to("/"), files

    def _cgroup_reading(self, folder: Path, files: _Files, limit: float) -> MemoryReading:
        """Count the file cache as available, as the kernel does for the machine."""
        usage = _size((folder / files.usage).read_text())
        parts = _numbers((folder / "memory.stat").read_text())
        used = usage - sum(parts.get(name, 0) for name in files.reclaimable)
        available = 1.0 - max(0, used) / limit if limit else 0.0
        scope = f"cgroup /{folder.relative_to(self._root)}"
        return MemoryReading(scope, 100.0 * max(0.0, available), self._stalled_percent(folder / "memory.pressure"))

    def _stalled_percent(self, file: Path) -> float | None:
        """Return the growth of the file's total since the last reading, which ends sooner with a stall than avg10."""
        try:
            found = re.search(r"^some .*total=(\d+)", file.read_text(), re.MULTILINE)
        except OSError:  # without PSI: not built, switched off at boot, or cgroup v1
            return None
        if found is None:
            return None
        now, total_us = self._clock(), int(found[1])
        before, before_us = self._stalled.get(file, (now, 0))
        self._stalled[file] = now, total_us
        if now <= before:
            return None
        return min(100.0, (total_us - before_us) / (now - before) / _US_PER_PERCENT)


def _numbers(text: str) -> dict[str, int]:
    """Parse lines of a name and a number: `MemTotal:  16384 kB`, `active_file 4096`."""
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", text, re.MULTILINE)}


def _size(text: str) -> float:
    """Parse a number of bytes, or `max`."""
    return float("inf") if text.strip() == "max" else int(text)
