"""Supervises child processes: restarts dead ones, stops them in order, and lets none outlive the supervisor."""

import asyncio
import ctypes
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import orjson

from nanogrid.logs import logger
from services.local.plan import Child

log = logger()

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0  # as long as systemd waits between restarts in production
STEADY_S = 30.0  # a child that ran this long did not fail at start
_LAST_LINES = 20  # of a log, among which its reason is looked for
LOG_ROTATE_BYTES = 64 * 1024 * 1024

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)


def next_delay(previous_s: float, ran_s: float) -> float:
    """Return the seconds to wait before a restart: doubled each time, reset after a run of `STEADY_S`."""
    if previous_s == 0 or ran_s >= STEADY_S:
        return FIRST_DELAY_S
    return min(previous_s * 2, LONGEST_DELAY_S)


class Supervised:
    """One child, kept running from `start` until `stop`. For one event loop."""

    def __init__(self, child: Child, logs: Path) -> None:
        self.child = child
        self.log = logs / f"{child.name}.log"
        self._stopping = asyncio.Event()
        self._failed_starts = 0
        self.cannot_start = asyncio.Event()  # set when it gave up again right after its first restart

    @property
    def last_words(self) -> str:
        """Return the reason that its log ends with."""
        return last_words(self.log)

    async def start(self) -> None:
        """Start the child and its supervision. OSError when the program does not exist."""
        if self.log.exists() and self.log.stat().st_size > LOG_ROTATE_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.child.name}")

    async def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Stop the child with a signal, after `stop_wait_s` with SIGKILL to its whole session. Idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        await self._end(by)
        await self._keeper
        log.info("stopped", child=self.child.name, exit_code=self._process.returncode)

    async def _end(self, by: signal.Signals = signal.SIGTERM) -> None:
        process = self._process
        if process.returncode is not None:
            return
        process.send_signal(by)
        try:
            async with asyncio.timeout(self.child.stop_wait_s):
                await process.wait()
        except TimeoutError:
            log.warning("did not stop, killing it", child=self.child.name, waited_s=self.child.stop_wait_s)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _keep(self) -> None:
        """Start the child again whenever it ends by itself."""
        loop = asyncio.get_running_loop()
        delay_s = 0.0
        while True:
            began = loop.time()
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            self._count(code, loop.time() - began)
            delay_s = next_delay(delay_s, loop.time() - began)
            log.error(
                "died, starting it again", child=self.child.name, exit_code=code, delay_s=delay_s, log=str(self.log)
            )
            await self._respawn(delay_s)

    def _count(self, code: int, ran_s: float) -> None:
        """Count the starts that failed in succession. A child that was killed or told to stop did not fail."""
        self._failed_starts = self._failed_starts + 1 if code > 0 and ran_s < STEADY_S else 0
        if self._failed_starts > 1:
            self.cannot_start.set()

    async def _respawn(self, delay_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
                return
        try:
            self._process = await self._spawn()
        except OSError:  # no free process, or the program is being replaced: another try follows
            log.exception("could not be started", child=self.child.name)
        if self._stopping.is_set():  # `stop` was called during the start
            await self._end()

    async def _spawn(self) -> Process:
        with self.log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self.child.argv,
                env=dict(self.child.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self.child.pass_fds,
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops children in order
                preexec_fn=_dies_with(os.getpid()),
            )
        log.info("started", child=self.child.name, pid=process.pid)
        return process


@asynccontextmanager
async def keeping(stages: Iterable[Sequence[Child]], logs: Path) -> AsyncIterator[list[Supervised]]:
    """Start the stages in order, keep their children running, and stop the stages in reverse order at the end.

    Yields the children, which may be stopped before the end.
    """
    logs.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    everything: list[Supervised] = []
    async with AsyncExitStack() as started:
        for stage in stages:
            together = await started.enter_async_context(_stage())
            for child in stage:
                kept = Supervised(child, logs)
                await kept.start()
                together.append(kept)
                everything.append(kept)
        yield everything


async def first_that_cannot_start(children: Iterable[Supervised], within_s: float) -> Supervised | None:
    """Return the first child that fails twice right after its start, or None when none does in time."""
    waiting = {asyncio.create_task(one.cannot_start.wait()): one for one in children}
    try:
        done, _ = await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return waiting[done.pop()] if done else None
    finally:
        for task in waiting:
            task.cancel()


def last_words(logfile: Path) -> str:
    """Return the reason in the last line of a log: of a JSON line its reason or event, of a traceback the exception."""
    try:
        lines = logfile.read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    for line in reversed(lines[-_LAST_LINES:]):
        try:
            said = orjson.loads(line)
            return str(said.get("reason") or said.get("error") or said.get("event"))
        except (orjson.JSONDecodeError, AttributeError):
            if line.strip():
                return line.strip()
    return "it said nothing"


async def stop_by_user(children: Iterable[Supervised]) -> None:
    """Stop first the children that have a signal for it, in parallel: executors cancel their jobs at once."""
    await asyncio.gather(*(one.stop(one.child.user_signal) for one in children if one.child.user_signal is not None))


@asynccontextmanager
async def _stage() -> AsyncIterator[list[Supervised]]:
    """Collect children that stop in parallel, because all executors may have long jobs to finish."""
    together: list[Supervised] = []
    try:
        yield together
    finally:
        await asyncio.gather(*(kept.stop() for kept in together))


def _dies_with(parent: int) -> Callable[[], None]:
    """Return a function to run between fork and exec, so that the kernel sends SIGTERM when the supervisor dies."""

    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the prctl call
            os._exit(1)

    return ask
