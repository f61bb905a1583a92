"""`nanogrid up` and `nanogrid down`: the local grid, in the background."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import typer

from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.session import Session, session
from nanogrid.errors import BadSettingError, StartError
from nanogrid.local.data_folder import prepare_folder
from nanogrid.local.grid import LocalGrid, differing_settings, read_grid, read_owner, remove_grid
from nanogrid.local.processes import is_running

READY_S = 60.0
EXECUTOR_S = 20.0  # it looks at its images and sweeps what a predecessor left before it announces itself
STOPPED_S = 300.0  # far more than the bounded waits of the stack add up to
_NOTICE_S = 3.0  # who waits for longer is told for what
_POLL_S = 0.05
_LAST_LINES = 15
_SAYS = "nanogrid: "


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command()(up)
    root.command()(down)


def up(ctx: typer.Context) -> None:
    """Start a grid on this machine and wait until it is ready."""
    here = session(ctx)
    grid = read_grid(here.data_dir)
    is_new = grid is None or not grid.running
    if grid is None or not grid.running:
        grid = _start(here)
    offered = _runtimes(grid.url)
    if not offered:
        _refuse_empty(here, grid, is_new=is_new)
    here.printer.thing(
        {
            "api": grid.url,
            "logs": grid.logs,
            "data": str(here.data_dir),
            "runtimes": " ".join(offered),
            "sandbox": grid.sandbox_url,
            "pid": grid.pid,
        }
    )
    for remark in _remarks(grid, is_new=is_new):
        here.printer.remark(remark)


def down(ctx: typer.Context) -> None:
    """Stop the grid that `up` started here, and nothing else. Jobs that do not end soon are cancelled."""
    here = session(ctx)
    grid = read_grid(here.data_dir)
    owner = (grid.pid, grid.started) if grid else read_owner(here.data_dir)
    if owner is None or not stop(*owner, here.data_dir / "logs", here.printer.remark):
        remove_grid(here.data_dir)
        here.printer.remark(f"no grid is up on {here.data_dir}")
        return
    here.printer.remark(f"stopped {grid.url if grid else f'the grid on {here.data_dir}'}")


def _remarks(grid: LocalGrid, *, is_new: bool) -> Iterator[str]:
    """Describe what its user should know of a running grid."""
    if not is_new:
        yield "already up"
        if differing := differing_settings(grid, os.environ):
            yield (
                "it runs with other settings than these, which take effect after `nanogrid down`: "
                + ", ".join(differing)
            )
    yield from grid.warnings
    if grid.sandbox_url.startswith("process:"):
        yield f"FUNCTIONS ARE NOT ISOLATED: run only code you trust ({grid.logs}/stack.log says why)"


def _refuse_empty(here: Session, grid: LocalGrid, *, is_new: bool) -> NoReturn:
    """Leave with the reason why nothing can be run, and without the grid that was just started in vain."""
    if is_new:
        stop(grid.pid, grid.started, Path(grid.logs), here.printer.remark)
    raise CliError(
        f"no executor of the grid offers a runtime, so nothing could be run; {grid.logs}/executor.log has the reason"
        + ("" if is_new else "; the grid goes on"),
        Exit.UNAVAILABLE,
    )


def stop(pid: int, started: str, logs: Path, notice: Callable[[str], None]) -> bool:
    """Stop that very process and wait for its end, or return False when it does not run.

    CliError when it will not end.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_running(pid, started):  # checked with the pidfd held: the pid cannot change hands any more
            return False
        signal.pidfd_send_signal(process, signal.SIGINT)  # a SIGTERM would have running jobs run again by the next `up`
        if not select.select([process], [], [], _NOTICE_S)[0]:
            notice("waiting for running jobs to end; those that take too long are cancelled")
        if not select.select([process], [], [], STOPPED_S)[0]:
            raise CliError(f"process {pid} does not stop; see {logs}/stack.log", Exit.UNAVAILABLE)
    finally:
        os.close(process)
    return True


def _start(here: Session) -> LocalGrid:
    _prepare(here.data_dir)
    log = here.data_dir / "logs" / "stack.log"
    with log.open("ab") as output:
        said_before = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services"],
            env=os.environ | {"NANOGRID_DATA_DIR": str(here.data_dir)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # outlives this terminal
        )
    try:
        return _until_ready(here, process, log, said_before)
    except BaseException:  # Ctrl-C too: nothing is left running that is of no use
        process.send_signal(signal.SIGINT)
        process.wait(STOPPED_S)
        raise


def _until_ready(here: Session, process: "subprocess.Popen[bytes]", log: Path, said_before: int) -> LocalGrid:
    """Return the grid once it serves. CliError when it ends, or does not serve in time."""
    deadline = time.monotonic() + READY_S
    grid = None
    while time.monotonic() < deadline:
        grid = read_grid(here.data_dir)
        if grid and grid.pid == process.pid and _ready(grid.url):
            return grid
        if (code := process.poll()) is not None:
            raise CliError(_last_words(log, said_before), Exit.USAGE if code == Exit.USAGE else Exit.UNAVAILABLE)
        time.sleep(_POLL_S)
    missing = f": {_missing(grid.url)}" if grid else ""
    raise CliError(f"the grid is not ready after {READY_S:.0f} s{missing}; see {log.parent}", Exit.UNAVAILABLE)


def _missing(url: str) -> str:
    """Name the dependencies that keep a grid from being ready."""
    states = _readiness(url).get("dependencies") or {}
    missing = ", ".join(f"{name} is {state}" for name, state in states.items() if state != "serving")
    return missing or "its API does not answer"


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _runtimes(url: str) -> list[str]:
    """Return the runtimes of the grid once its first executor announces itself, or nothing after a while."""
    deadline = time.monotonic() + EXECUTOR_S
    while True:
        executors = _readiness(url).get("executors") or {}
        if executors.get("alive") or time.monotonic() > deadline:
            return executors.get("runtimes") or []
        time.sleep(_POLL_S)


def _readiness(url: str) -> dict[str, Any]:
    """Return what the grid says of itself, {} where it does not answer."""
    try:
        said = httpx.get(f"{url}/ready", timeout=5.0, trust_env=False).json()
    except (httpx.TransportError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _prepare(data_dir: Path) -> None:
    try:
        prepare_folder(data_dir)
    except BadSettingError as failure:
        raise CliError(str(failure), Exit.USAGE) from None
    except StartError as failure:
        raise CliError(str(failure), Exit.UNAVAILABLE) from None


def _last_words(log: Path, begin: int) -> str:
    """Return the sentence that the grid ended with, or the end of its log where it had none."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    if lines and lines[-1].startswith(_SAYS):
        return f"the grid did not start: {lines[-1].removeprefix(_SAYS)}"
    return "the grid did not start:\n" + "\n".join(lines[-_LAST_LINES:])
