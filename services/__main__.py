"""`python -m services`: run a whole grid on this machine, Redis included, in one process tree."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import uvloop
from pydantic import ValidationError

from nanogrid.errors import StartError
from nanogrid.local import redis_server
from nanogrid.local.grid import LocalGrid, ensure_token, read_grid, remove_grid, write_grid
from nanogrid.local.processes import start_time
from nanogrid.logs import configure, logger
from nanogrid.stopping import until_stopped
from services.local import isolation, plan, redis
from services.local.settings import LocalGridSettings
from services.local.supervisor import keeping, stop_by_user

log = logger()

LOCK_WAIT_S = 20.0  # time for the Redis of a killed grid to leave the data folder
_POLL_S = 0.02


async def main() -> None:
    settings = LocalGridSettings()
    configure("stack", settings.log_level)
    stopped = asyncio.create_task(until_stopped())  # from now on signals are waited for
    await asyncio.sleep(0)  # the task has begun
    data_dir = settings.data_dir.absolute()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with _alone(data_dir) as lock:
        where = plan.addresses(settings)
        sandbox_url = _sandbox_url(settings, where.gateway_listen)
        async with redis.serving(settings, data_dir, lock) as redis_url:
            token = settings.internal_token or ensure_token(data_dir)
            env = plan.environment(
                os.environ,
                where,
                settings,
                data_dir=data_dir,
                redis_url=redis_url,
                sandbox_url=sandbox_url,
                token=token,
            )
            async with keeping(plan.stages(env, settings), data_dir / "logs") as children:
                with _announced(data_dir, _describe(env, where, settings.executors)):
                    log.info("grid started", url=where.url, data=str(data_dir), sandbox=sandbox_url)
                    by = await stopped
                    log.info("stopping the grid", signal=by.name)
                    if by is signal.SIGINT:  # Ctrl-C, or `nanogrid down`
                        await stop_by_user(children)


@asynccontextmanager
async def _alone(data_dir: Path) -> AsyncIterator[int]:
    """Hold the data folder's lock. Redis inherits it, so that two servers never write to one folder."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await _lock(descriptor, data_dir)
        yield descriptor
    finally:
        os.close(descriptor)


async def _lock(descriptor: int, data_dir: Path) -> None:
    try:
        async with asyncio.timeout(LOCK_WAIT_S):
            while not _locked(descriptor):
                if (running := read_grid(data_dir)) and running.running:
                    raise StartError(
                        f"a grid already runs on {data_dir}, at {running.url}; stop it with `nanogrid down`"
                    )
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StartError(f"another process still uses {data_dir}; see who with `fuser {data_dir}/lock`") from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sandbox_url(settings: LocalGridSettings, gateway_listen: str) -> str:
    problem = None if settings.executor_sandbox_url else isolation.docker_problem()
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
    )


@contextmanager
def _announced(data_dir: Path, grid: LocalGrid) -> Iterator[None]:
    write_grid(data_dir, grid)
    try:
        yield
    finally:
        remove_grid(data_dir)


def run() -> int:
    """Run until SIGTERM or SIGINT. Return 1 when the grid cannot start, with the reason as the last line on stderr."""
    try:
        uvloop.run(main())
    except (StartError, redis_server.NoRedisError) as failure:
        structlog.contextvars.clear_contextvars()
        print(f"nanogrid: {failure}", file=sys.stderr)  # noqa: T201 - for the user at the terminal
        return 1
    except ValidationError as failure:
        for wrong in failure.errors():
            name = "NANOGRID_" + "_".join(map(str, wrong["loc"])).upper()
            print(f"nanogrid: {name}: {wrong['msg']}", file=sys.stderr)  # noqa: T201 - see above
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
