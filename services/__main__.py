"""`python -m services`: run a whole grid on this machine, Redis included, in one process tree."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import uvloop

from nanogrid.errors import BadSettingError, StartError
from nanogrid.local import redis_server
from nanogrid.local.data_folder import prepare_folder, told
from nanogrid.local.grid import (
    LocalGrid,
    ensure_token,
    lock_folder,
    read_grid,
    read_owner,
    recorded_settings,
    remove_grid,
    write_grid,
)
from nanogrid.local.processes import start_time
from nanogrid.logs import configure, logger
from nanogrid.stopping import until_stopped
from services.local import isolation, plan, redis
from services.local.checks import check_settings, known_settings, unknown_settings
from services.local.preflight import require_backends
from services.local.settings import LocalGridSettings
from services.local.supervisor import Supervised, first_that_cannot_start, keeping, stop_by_user

log = logger()

START_S = 60.0  # a child that fails twice after that is started again and again, as in production
LOCK_WAIT_S = 20.0  # time for the Redis of a killed grid to leave the data folder
_POLL_S = 0.02


async def main() -> None:
    check_settings()
    settings = LocalGridSettings()
    configure("stack", settings.log_level)
    stopped = asyncio.create_task(until_stopped())
    await asyncio.sleep(0)  # from now on signals are waited for
    data_dir = settings.data_dir.absolute()
    prepare_folder(data_dir)
    with told(data_dir):
        async with _alone(data_dir) as lock:
            await _serve(settings, data_dir, lock, stopped)


async def _serve(
    settings: LocalGridSettings, data_dir: Path, lock: int, stopped: "asyncio.Task[signal.Signals]"
) -> None:
    where = plan.addresses(settings)
    sandbox_url = _sandbox_url(settings, where.gateway_listen)
    await require_backends(os.environ)
    async with redis.serving(settings, data_dir, lock) as redis_url:
        token = settings.internal_token or ensure_token(data_dir)
        env = plan.environment(
            os.environ, where, settings, data_dir=data_dir, redis_url=redis_url, sandbox_url=sandbox_url, token=token
        )
        async with keeping(plan.stages(env, settings), data_dir / "logs") as children:
            with _announced(data_dir, _describe(env, where, settings.executors)):
                log.info("grid started", url=where.url, data=str(data_dir), sandbox=sandbox_url)
                await _until(stopped, children)
                if stopped.result() is signal.SIGINT:  # Ctrl-C, or `nanogrid down`
                    await stop_by_user(children)


async def _until(stopped: "asyncio.Task[signal.Signals]", children: Sequence[Supervised]) -> None:
    """Wait for the signal to stop. StartError when a child cannot start: a grid without it would be of no use."""
    failing = asyncio.create_task(first_that_cannot_start(children, START_S))
    await asyncio.wait([stopped, failing], return_when=asyncio.FIRST_COMPLETED)
    if not failing.done():
        failing.cancel()
    elif (failed := failing.result()) is not None:
        raise StartError(f"{failed.child.name} does not start: {failed.last_words}; see {failed.log}")
    await stopped


@asynccontextmanager
async def _alone(data_dir: Path) -> AsyncIterator[int]:
    """Hold the data folder's lock. Redis inherits it, so that two servers never write to one folder."""
    descriptor = await _lock(data_dir)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _lock(data_dir: Path) -> int:
    try:
        async with asyncio.timeout(LOCK_WAIT_S):
            while (descriptor := lock_folder(data_dir)) is None:
                if (owner := read_owner(data_dir)) is not None:
                    grid = read_grid(data_dir)
                    where = f", at {grid.url}" if grid and grid.running else f", as process {owner[0]}"
                    raise StartError(f"a grid already runs on {data_dir}{where}; stop it with `nanogrid down`")
                await asyncio.sleep(_POLL_S)
            return descriptor
    except TimeoutError:
        raise StartError(f"another process still uses {data_dir}; see who with `fuser {data_dir}/lock`") from None


def _sandbox_url(settings: LocalGridSettings, gateway_listen: str) -> str:
    by_docker = settings.executor_sandbox_url.rstrip("/") in ("", isolation.DOCKER)
    problem = isolation.docker_problem() if by_docker else None
    url = isolation.choose(settings.executor_sandbox_url, problem, public=settings.auth_required(gateway_listen))
    if url.startswith(isolation.PROCESS):
        log.warning("FUNCTIONS ARE NOT ISOLATED: run only code you trust", reason=problem or "as configured")
    return url


def _describe(env: dict[str, str], where: plan.Addresses, executors: int) -> LocalGrid:
    return LocalGrid(
        pid=os.getpid(),
        started=start_time(os.getpid()) or "",
        url=where.url,
        registry_address=where.registry,
        artifacts_address=where.artifacts,
        invoker_address=where.invoker,
        redis_url=env["NANOGRID_REDIS_URL"],
        sandbox_url=env["NANOGRID_EXECUTOR_SANDBOX_URL"],
        executors=executors,
        logs=str(Path(env["NANOGRID_DATA_DIR"]) / "logs"),
        settings=recorded_settings(os.environ, known := known_settings()),
        defaults=known,
        warnings=unknown_settings(os.environ),
    )


@contextmanager
def _announced(data_dir: Path, grid: LocalGrid) -> Iterator[None]:
    write_grid(data_dir, grid)
    try:
        yield
    finally:
        remove_grid(data_dir)


def run() -> int:
    """Run until SIGTERM or SIGINT. When the grid cannot start, say why in the last line on stderr.

    Return 2 for a bad setting, 1 for all else that keeps it from starting.
    """
    try:
        uvloop.run(main())
    except (StartError, redis_server.NoRedisError) as failure:
        structlog.contextvars.clear_contextvars()
        print(f"nanogrid: {failure}", file=sys.stderr)  # noqa: T201 - for the user at the terminal
        return 2 if isinstance(failure, BadSettingError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
