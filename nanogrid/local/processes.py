"""Identifies processes by pid and start time, since pids are reused."""

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _START_TICKS = 0, 19  # fields 3 and 22 of /proc/PID/stat, counted from behind the name; see proc(5)


def start_time(pid: int) -> str | None:
    """Return a token that no other process of this machine ever had with this pid, or None when it is not running.

    Made of the boot's id and the ticks since boot, so that setting the clock does not change it. A zombie does not run.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and brackets
    return None if fields[_STATE] in "ZX" else f"{boot}:{fields[_START_TICKS]}"


def is_running(pid: int, started: str) -> bool:
    """Return whether the process that was recorded with this start time still runs."""
    return start_time(pid) == started
