"""`nanogrid up` and `nanogrid down`: the local grid, in the background."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import typer

from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.session import Session, session
from nanogrid.local.grid import LocalGrid, read_grid, read_token, remove_grid

READY_S = 60.0
EXECUTOR_S = 20.0  # it looks at its images and sweeps what a predecessor left before it announces itself
STOPPED_S = 300.0  # far more than the bounded waits of the stack add up to
_NOTICE_S = 3.0  # who waits for longer is told for what
_POLL_S = 0.05
_LAST_LINES = 15


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command()(up)
    root.command()(down)


def up(ctx: typer.Context) -> None:
    """Start a grid on this machine and wait until it is ready."""
    here = session(ctx)
    grid = read_grid(here.data_dir)
    if grid and grid.running:
        here.printer.remark("already up")
    else:
        grid = _start(here)
    offered = _runtimes(grid, here.data_dir)
    here.printer.thing(
        {
            "api": grid.url,
            "logs": grid.logs,
            "data": str(here.data_dir),
            "runtimes": " ".join(sorted(offered)),
            "sandbox": grid.sandbox_url,
            "pid": grid.pid,
        }
    )
    if not offered:
        here.printer.remark(f"no executor offers a runtime yet; {grid.logs}/executor.log may say why")
    if grid.sandbox_url.startswith("process:"):
        here.printer.remark(f"FUNCTIONS ARE NOT ISOLATED: run only code you trust ({grid.logs}/stack.log says why)")


def down(ctx: typer.Context) -> None:
    """Stop the grid that `up` started here, and nothing else."""
    here = session(ctx)
    grid = read_grid(here.data_dir)
    if grid is None or not stop(grid, here.printer.remark):
        remove_grid(here.data_dir)
        here.printer.remark(f"no grid is up on {here.data_dir}")
        return
    here.printer.remark(f"stopped {grid.url}")


def stop(grid: LocalGrid, notice: Callable[[str], None]) -> bool:
    """Stop that very process and wait for its end, or return False when it does not run.

    CliError when it will not end.
    """
    try:
        process = os.pidfd_open(grid.pid)
    except ProcessLookupError:
        return False
    try:
        if not grid.running:  # checked with the pidfd held: the pid cannot change hands any more
            return False
        signal.pidfd_send_signal(process, signal.SIGINT)  # a SIGTERM would have running jobs run again by the next `up`
        if not select.select([process], [], [], _NOTICE_S)[0]:
            notice("waiting for running jobs to end; those that take too long are cancelled")
        if not select.select([process], [], [], STOPPED_S)[0]:
            raise CliError(f"process {grid.pid} does not stop; see {grid.logs}/stack.log", Exit.UNAVAILABLE)
    finally:
        os.close(process)
    return True


def _start(here: Session) -> LocalGrid:
    log = here.data_dir / "logs" / "stack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    here.data_dir.chmod(0o700)
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
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        grid = read_grid(here.data_dir)
        if grid and grid.pid == process.pid and _ready(grid.url):
            return grid
        if process.poll() is not None:
            raise CliError(f"the grid did not start:\n{_tail(log, said_before)}", Exit.UNAVAILABLE)
        time.sleep(_POLL_S)
    raise CliError(
        f"the grid is not ready after {READY_S:.0f} s; see {log.parent}, stop it with `nanogrid down`", Exit.UNAVAILABLE
    )


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _runtimes(grid: LocalGrid, data_dir: Path) -> set[str]:
    """Return the runtimes of the grid once its first executor announces itself, or nothing after a while."""
    from nanogrid.cli import internal  # noqa: PLC0415 - gRPC is slow to import, and starting takes longer anyway

    token = os.environ.get("NANOGRID_INTERNAL_TOKEN") or read_token(data_dir)
    deadline = time.monotonic() + EXECUTOR_S
    while (offered := internal.runtimes(grid.invoker_address, token)) is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return offered or set()


def _tail(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return "\n".join(file.read().decode(errors="replace").splitlines()[-_LAST_LINES:])
