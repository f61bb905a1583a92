"""Groups the processes of a process sandbox: as root by cgroups, else by a process group."""

import contextlib
import os
import signal
from pathlib import Path
from urllib.parse import quote

from services.executor.sandbox import SandboxSettings
from services.executor.sandbox.cgroup import Usage, mounts

_CONTROLLERS = ("memory", "cpu", "freezer", "pids")
_RESTART_PEAK = "5"  # in clear_refs resets the high-water mark of the resident set


class OwnGroups:
    """The cgroups `nanogrid/{executor_id}/{sandbox_id}` in every hierarchy. Raises OSError."""

    def __init__(self, settings: SandboxSettings, sandbox_id: str) -> None:
        self._settings = settings
        self._folders = [base / sandbox_id for base in executor_groups(settings.executor_id)]

    def make(self) -> list[str]:
        """Create them with limits, and return the `cgroup.procs` files for joining them."""
        for folder in self._folders:
            folder.mkdir(parents=True)
            for name, value in self._limits():
                file = folder / name
                if file.exists():
                    file.write_text(value)
        return [str(folder / "cgroup.procs") for folder in self._folders]

    def _limits(self) -> list[tuple[str, str]]:
        memory = str(self._settings.default_memory_mb << 20)
        return [
            ("pids.max", str(self._settings.pids)),
            ("memory.limit_in_bytes", memory),
            ("memory.memsw.limit_in_bytes", memory),
            ("memory.max", memory),
            ("memory.swap.max", "0"),
        ]

    def kill(self) -> None:
        """Kill their processes."""
        for folder in self._folders:
            kill_all(folder)

    def remove(self) -> None:
        """Remove them when they are empty. Idempotent."""
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


def executor_groups(executor_id: str) -> list[Path]:
    """Return the folders with the cgroups of one executor's sandboxes, one per hierarchy, created if missing."""
    mounted = mounts()
    name = Path("nanogrid") / quote(executor_id, safe="")
    if "memory" in mounted:
        points = {mounted[controller].point for controller in _CONTROLLERS if controller in mounted}
        bases = [point / name for point in sorted(points)]
        for base in bases:
            base.mkdir(parents=True, exist_ok=True)
        return bases
    point = mounted[""].point
    for step in (point, point / "nanogrid", point / name):
        step.mkdir(exist_ok=True)
        (step / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    return [point / name]


def kill_all(folder: Path) -> None:
    """Kill every process of a cgroup, even if it forks fast: in v1 freeze it, and kill one by one."""
    with contextlib.suppress(OSError):
        (folder / "cgroup.kill").write_text("1")
    state = folder / "freezer.state"
    with contextlib.suppress(OSError):
        if state.exists():
            state.write_text("FROZEN")
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if state.exists():
            state.write_text("THAWED")


class SignalGroup:
    """A Cgroup without cgroups: freezes by signal, measures one process, limits nothing."""

    def __init__(self, group: int, pid: int) -> None:
        self._group = group
        self._pid = pid
        self._least = 0  # its memory when measuring began, which is all that is known of one that ended

    def limit_memory(self, size_bytes: int) -> None:
        """There is nothing to set it with."""

    def limit_cpu(self, cpus: float) -> None:
        """There is nothing to set it with."""

    def begin(self) -> None:
        """Reset the runtime's high-water mark."""
        Path(f"/proc/{self._pid}/clear_refs").write_text(_RESTART_PEAK)
        self._least = self._peak()

    def end(self) -> Usage:
        """Return the peak of the runtime without its children."""
        return Usage(self._peak() or self._least, oom_killed=False)

    def _peak(self) -> int:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10
        return 0

    async def freeze(self) -> None:
        """Stop the process group."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the process group."""
        self._signal(signal.SIGCONT)

    def pids(self) -> list[int]:
        """Return the runtime only, because the other processes are unknown."""
        return [self._pid]

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, number)
