"""Holds the processes of a process sandbox together: control groups of our own as root, else a process group."""

import contextlib
import os
import signal
from pathlib import Path
from urllib.parse import quote

from services.executor.sandbox import SandboxSettings
from services.executor.sandbox.cgroup import Usage, mounts

_CONTROLLERS = ("memory", "cpu", "freezer", "pids")
_RESTART_PEAK = "5"  # to clear_refs: the resident set's high-water mark starts anew


class OwnGroups:
    """`nanogrid/{executor_id}/{sandbox_id}` in every hierarchy a sandbox needs. Raises OSError."""

    def __init__(self, settings: SandboxSettings, sandbox_id: str) -> None:
        self._settings = settings
        self._folders = [base / sandbox_id for base in executor_groups(settings.executor_id)]

    def make(self) -> list[str]:
        """Make them, with limits. The `cgroup.procs` files to join them by."""
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
        """Remove them. They must be empty. Idempotent."""
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


def executor_groups(executor_id: str) -> list[Path]:
    """Return the folder in every hierarchy that holds the groups of one executor's sandboxes.

    Made when it is not there.
    """
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
    """Kill every process of a control group, however fast it forks: v1 has no way but one by one."""
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
    """A Cgroup without control groups: stops by signal, measures one process, limits nothing."""

    def __init__(self, group: int, pid: int) -> None:
        self._group = group
        self._pid = pid

    def limit_memory(self, size_bytes: int) -> None:
        """There is nothing to set it with."""

    def limit_cpu(self, cpus: float) -> None:
        """There is nothing to set it with."""

    def begin(self) -> None:
        """Let the runtime's high-water mark start anew."""
        Path(f"/proc/{self._pid}/clear_refs").write_text(_RESTART_PEAK)

    def end(self) -> Usage:
        """Return the runtime's own peak. Children are not seen."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return Usage(int(line.split()[1]) << 10, oom_killed=False)
        return Usage(0, oom_killed=False)

    async def freeze(self) -> None:
        """Stop the group."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def pids(self) -> list[int]:
        """Return the runtime. No other processes are known."""
        return [self._pid]

    def close(self) -> None:
        """Nothing is open."""

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, number)
