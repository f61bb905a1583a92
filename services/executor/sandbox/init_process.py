"""PID 1 of a sandbox, seen from outside: its death is the death of everything in there."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path


class InitProcess:
    """Holds PID 1 by a descriptor, which never comes to mean another process. `kill` does nothing before `hold`."""

    def __init__(self) -> None:
        self._fd = -1

    def hold(self, child: int) -> None:
        """Take hold of the parent of `child`. ProcessLookupError when it is gone."""
        self._fd = os.pidfd_open(_parent_of(child))

    async def ended(self) -> None:
        """Wait for its death."""
        loop = asyncio.get_running_loop()
        dead = asyncio.Event()
        loop.add_reader(self._fd, dead.set)
        try:
            await dead.wait()
        finally:
            loop.remove_reader(self._fd)

    def kill(self) -> None:
        """Kill it. Idempotent."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return int(stat.rpartition(")")[2].split()[1])
