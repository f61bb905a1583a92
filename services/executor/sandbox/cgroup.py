"""Controls a sandbox's cgroup, v1 or v2: sets limits, freezes it, and measures the usage of one call."""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_CPU_PERIOD_US = 100_000  # the kernel's default
_FREEZE_POLL_S = 0.001
_FREEZE_TIMEOUT_S = 2.0
_SAMPLE_S = 0.02  # between samples of memory where the kernel cannot reset its high-water mark


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage since `begin`: peak memory in bytes (0 = unknown), and whether the OOM killer struck."""

    peak_bytes: int
    oom_killed: bool


class Cgroup(Protocol):
    """The cgroup of one sandbox. Its files stay open, so a call costs four system calls. Raises OSError."""

    def limit_memory(self, size_bytes: int) -> None:
        """Set the memory limit, without any swap."""

    def limit_cpu(self, cpus: float) -> None:
        """Set the CPU limit, in processors."""

    def begin(self) -> None:
        """Start measuring."""

    def end(self) -> Usage:
        """Return the usage since `begin`. Unreadable figures count as 0."""

    async def freeze(self) -> None:
        """Freeze every process in it, and wait until they have stopped."""

    def thaw(self) -> None:
        """Thaw its processes."""

    def pids(self) -> list[int]:
        """Return its processes."""

    def close(self) -> None:
        """Close the files. Idempotent."""


class _File:
    """A control file that stays open."""

    def __init__(self, path: Path, flags: int = os.O_RDWR) -> None:
        self.fd = os.open(path, flags | os.O_CLOEXEC)

    def read(self) -> str:
        return os.pread(self.fd, 4096, 0).decode()

    def write(self, text: str) -> None:
        os.pwrite(self.fd, text.encode(), 0)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _oom_kills(text: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


async def _until_frozen(path: Path, mark: str) -> None:
    with contextlib.suppress(TimeoutError):  # a process in uninterruptible sleep stops later
        async with asyncio.timeout(_FREEZE_TIMEOUT_S):
            while mark not in path.read_text():  # noqa: ASYNC110, ASYNC240 - kernel memory, no disk, no event
                await asyncio.sleep(_FREEZE_POLL_S)


class CgroupV1:
    """Cgroup v1, with one folder per controller."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._memory = folders["memory"]
        self._cpu = folders["cpu"]
        self._freezer = folders["freezer"]
        self._peak = _File(self._memory / "memory.max_usage_in_bytes")
        self._oom = _File(self._memory / "memory.oom_control", os.O_RDONLY)
        self._state = _File(self._freezer / "freezer.state")
        self._kills = 0

    def limit_cpu(self, cpus: float) -> None:
        (self._cpu / "cpu.cfs_quota_us").write_text(str(int(cpus * _CPU_PERIOD_US)))

    def limit_memory(self, size_bytes: int) -> None:
        names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        if int((self._memory / names[0]).read_text()) < size_bytes:
            names.reverse()  # the limit of memory and swap may never be below that of memory
        for name in names:
            file = self._memory / name
            if file.exists():  # missing where the kernel does not account for swap
                file.write_text(str(size_bytes))

    def begin(self) -> None:
        self._kills = _oom_kills(self._oom.read())
        self._peak.write("0")

    def end(self) -> Usage:
        try:
            return Usage(int(self._peak.read()), _oom_kills(self._oom.read()) > self._kills)
        except OSError:
            return Usage(0, oom_killed=False)

    async def freeze(self) -> None:
        self._state.write("FROZEN")
        await _until_frozen(self._freezer / "freezer.state", "FROZEN")

    def thaw(self) -> None:
        self._state.write("THAWED")

    def pids(self) -> list[int]:
        return _pids(self._freezer)

    def close(self) -> None:
        for file in (self._peak, self._oom, self._state):
            file.close()


class CgroupV2:
    """Cgroup v2, with one folder. Before Linux 6.12 the high-water mark cannot be reset, so memory is sampled, too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events = _File(folder / "memory.events", os.O_RDONLY)
        self._current = _File(folder / "memory.current", os.O_RDONLY)
        self._freeze = _File(folder / "cgroup.freeze")
        self._peak, self._restarts = _open_peak(folder / "memory.peak")
        self._kills = self._mark = self._sampled = 0
        self._timer: asyncio.TimerHandle | None = None

    def limit_cpu(self, cpus: float) -> None:
        (self._folder / "cpu.max").write_text(f"{int(cpus * _CPU_PERIOD_US)} {_CPU_PERIOD_US}")

    def limit_memory(self, size_bytes: int) -> None:
        (self._folder / "memory.max").write_text(str(size_bytes))
        swap = self._folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")

    def begin(self) -> None:
        self._kills = _oom_kills(self._events.read())
        if self._restarts and self._peak is not None:
            self._peak.write("0")
            return
        self._mark = self._read(self._peak)
        self._sampled = 0
        self._sample()

    def end(self) -> Usage:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            killed = _oom_kills(self._events.read()) > self._kills
            peak = self._read(self._peak)
            if not self._restarts and peak <= self._mark:  # the peak is of an earlier call
                peak = max(self._sampled, self._read(self._current))
        except OSError:
            return Usage(0, oom_killed=False)
        return Usage(peak, killed)

    async def freeze(self) -> None:
        self._freeze.write("1")
        await _until_frozen(self._folder / "cgroup.events", "frozen 1")

    def thaw(self) -> None:
        self._freeze.write("0")

    def pids(self) -> list[int]:
        return _pids(self._folder)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for file in (self._events, self._current, self._freeze, self._peak):
            if file is not None:
                file.close()

    def _sample(self) -> None:
        with contextlib.suppress(OSError):
            self._sampled = max(self._sampled, self._read(self._current))
        self._timer = asyncio.get_running_loop().call_later(_SAMPLE_S, self._sample)

    @staticmethod
    def _read(file: _File | None) -> int:
        return int(file.read()) if file is not None else 0


def _open_peak(path: Path) -> tuple[_File | None, bool]:
    """Return the file of the high-water mark, and whether writing to it resets it."""
    try:
        return _File(path), True
    except FileNotFoundError:  # before Linux 5.19
        return None, False
    except OSError:  # before Linux 6.12 it cannot be opened for writing
        return _File(path, os.O_RDONLY), False


def _pids(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def cgroup_of(pid: int) -> Cgroup:
    """Return the control group of process `pid` and all its children. OSError when it cannot be found."""
    folders = cgroup_folders(Path(f"/proc/{pid}/cgroup").read_text(), mounts())
    if "memory" in folders:
        return CgroupV1(folders)
    if "" in folders:
        return CgroupV2(folders[""])
    raise FileNotFoundError("no memory control group is mounted")


def _paths_of(text: str) -> dict[str, str]:
    """Parse /proc/PID/cgroup: controller -> path in its hierarchy. The controller of v2 is ""."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount point of a hierarchy, and the part of it that is mounted."""

    root: str
    point: Path


def mounts(mountinfo: Path = Path("/proc/self/mountinfo")) -> dict[str, Mount]:
    """Return controller -> mount point. The controller of v2 is ""."""
    found: dict[str, Mount] = {}
    for line in mountinfo.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        fields = before.split(" ")
        mount = Mount(fields[3], Path(fields[4]))
        if kind == "cgroup2":
            found.setdefault("", mount)
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, mount)
    return found


def cgroup_folders(text: str, mounted: dict[str, Mount]) -> dict[str, Path]:
    """Return controller -> folder of the process whose /proc/PID/cgroup reads `text`. The controller of v2 is ""."""
    paths = _paths_of(text)
    return {
        name: Path(os.path.normpath(mount.point / os.path.relpath(paths[name], mount.root)))
        for name, mount in mounted.items()
        if name in paths
    }
