"""The port MemoryReader, which measures how short of memory the machine is."""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["MemoryReader", "MemoryReading", "open_memory_reader"]


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """The memory of one scope: the machine, or a cgroup with a limit.

    `available_percent` of it can be had without swapping. `stalled_percent` is the share of the time since the
    previous reading during which a process waited for memory, None where that is not measured.
    """

    scope: str
    available_percent: float
    stalled_percent: float | None = None


class MemoryReader(Protocol):
    """Reads the memory of every scope that limits this process."""

    def read(self) -> list[MemoryReading]:
        """Return the readings now, that of the machine first. Reads a few files of the kernel. Raises OSError."""


def open_memory_reader() -> MemoryReader:
    """Return the reader of this operating system."""
    from services.executor.memory.linux import LinuxMemory  # noqa: PLC0415 - an adapter is loaded on use

    return LinuxMemory()
