"""Runs one process of the grid: kills and stops it, and restarts it when it dies, as systemd would."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chaos.journal import Journal

RESTART_S = 0.3  # systemd's RestartSec, scaled as the leases are
STOP_S = 20.0
_TESTS = str(Path(__file__).parents[1])
# A copy from before the auditor changes it for its own clients, with this folder on the path.
_INHERITED = {**os.environ, "PYTHONPATH": os.pathsep.join([_TESTS, *filter(None, [os.environ.get("PYTHONPATH")])])}


class Member:
    """A process that is restarted until `stop`. It dies with the parent, which setpriv asks of the kernel."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], folder: Path, journal: Journal) -> None:
        self.name = name
        self.env = dict(env)
        self._argv = ("setpriv", "--pdeathsig", "KILL", *argv)
        self._folder = folder
        self._journal = journal
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._expected = False  # the next end was caused here and is recorded
        self._down_s = RESTART_S
        self.deaths = 0  # not caused here
        self.next_env: Callable[[], Mapping[str, str]] = dict  # additional environment of the next start

    async def start(self) -> None:
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def _spawn(self) -> None:
        env = {**_INHERITED, **self.env, **self.next_env()}
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    async def _keep(self) -> None:
        while True:
            process = self._process
            assert process is not None
            await process.wait()
            if self._stopping:
                return
            if not self._expected:
                self.deaths += 1
                self._journal.note("killed" if process.returncode == -signal.SIGKILL else "crashed", self.name)
            self._expected = False
            await asyncio.sleep(self._down_s)
            self._down_s = RESTART_S
            if not self._stopping:
                await self._spawn()

    def kill(self, down_s: float = RESTART_S) -> None:
        """Send SIGKILL, and restart after `down_s`."""
        assert self._process is not None
        if self._process.returncode is None and not self._expected:
            self._expected, self._down_s = True, down_s
            self._journal.note("killed", self.name)
            self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Send SIGSTOP."""
        self._journal.note("stopped", self.name)
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._journal.healed("stopped", self.name)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        # Not through asyncio: its Process may reap the child and then lose the exit status.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def stop(self) -> None:
        """Send SIGTERM, then SIGKILL after STOP_S."""
        self._stopping = True
        if self._process is None or self._keeper is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process.returncode is None:
            await self._process.wait()
