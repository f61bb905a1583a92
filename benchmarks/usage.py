"""What process trees use: memory by proportional share, processor time since they began."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # proc(5), counted behind the closing bracket of the command


def parents() -> dict[int, int]:
    """Every process and its parent."""
    found = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                found[int(folder.name)] = int(_stat(int(folder.name))[1])
    return found


def tree(root: int, known: dict[int, int]) -> set[int]:
    """A process and all its descendants, among the known parents."""
    members = {root}
    while grown := {pid for pid, parent in known.items() if parent in members} - members:
        members |= grown
    return members


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of some processes: what is shared with others counts by its share. Needs root for foreign ones."""
    total_kb = 0
    for pid in pids:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kb += int(line.split()[1])
    return total_kb * 1024


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds some processes have used; those that are gone count as nothing."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = _stat(pid)
            ticks += int(fields[_UTIME]) + int(fields[_STIME])
    return ticks / _TICKS_PER_S


def role(pid: int) -> str:
    """What a process of the grid is: the module it runs, else its program."""
    argv = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if "-m" in argv:
        return argv[argv.index("-m") + 1].removeprefix("services.")
    return Path(argv[0].split(" ")[0]).name


def _stat(pid: int) -> list[str]:
    return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
