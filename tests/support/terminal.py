"""Runs the `nanogrid` command as a user does in a terminal, in a separate process."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from nanogrid.local.grid import LocalGrid, read_grid
from support.waiting import WATCHDOG_S


class Terminal:
    """A working directory with a data folder, and an environment without the tests' own settings."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.data = folder / ".nanogrid"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NANOGRID_")}
        self.env = inherited | {"NANOGRID_DATA_DIR": str(self.data)} | env

    def nanogrid(self, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-c", "from nanogrid.cli import main; main()", *arguments],
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=WATCHDOG_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def typed(self, answer: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one command at a terminal where its user types an answer; "" is Ctrl-D."""
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer.encode() or b"\x04")
            return subprocess.run(
                [sys.executable, "-c", "from nanogrid.cli import main; main()", *arguments],
                cwd=self.folder,
                env=self.env,
                capture_output=True,
                text=True,
                timeout=WATCHDOG_S,
                check=False,
                stdin=theirs,
            )
        finally:
            os.close(theirs)
            os.close(ours)

    def up(self, **env: str) -> httpx.Client:
        """Start the grid and return a client of it."""
        done = self.nanogrid("up", **env)
        assert done.returncode == 0, done.stderr
        return httpx.Client(base_url=self.grid.url, timeout=WATCHDOG_S)

    @property
    def grid(self) -> LocalGrid:
        found = read_grid(self.data)
        assert found is not None, "no grid is up"
        return found

    def processes(self) -> list[str]:
        """Return the command lines of all processes with this data folder, the grid's and leftovers."""
        mine = f"NANOGRID_DATA_DIR={self.data}".encode()
        found = []
        for path in Path("/proc").iterdir():
            try:
                if path.name.isdigit() and mine in (path / "environ").read_bytes().split(b"\0"):
                    found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it has ended, or is another user's
                continue
        return [line for line in found if line]


@contextmanager
def terminal(folder: Path, **env: str) -> Iterator[Terminal]:
    """Open a terminal, and stop its grid, if any, at the end."""
    opened = Terminal(folder, NANOGRID_GATEWAY_LISTEN="127.0.0.1:0", NANOGRID_EXECUTOR_SANDBOX_URL="process:", **env)
    try:
        yield opened
    finally:
        opened.nanogrid("down")
