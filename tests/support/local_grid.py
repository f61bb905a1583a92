"""Some services of a grid as processes, and the description that a local grid leaves of itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from nanogrid.local.grid import LocalGrid
from nanogrid.local.processes import start_time
from support.redis_server import free_port

TOKEN = "the-grids-own"
WATCHDOG_S = 60.0


@contextmanager
def served(*services: str, folder: Path, redis_url: str = "") -> Iterator[str]:
    """Run services, the gateway last, that want keys or the internal token. Yields the URL of the API."""
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("registry", "artifacts", "invoker", "gateway")}
    env = {f"NANOGRID_{name.upper()}_LISTEN": address for name, address in addresses.items()}
    env |= {f"NANOGRID_{name.upper()}_ADDRESS": address for name, address in addresses.items() if name != "gateway"}
    env |= {"NANOGRID_AUTH": "on", "NANOGRID_INTERNAL_TOKEN": TOKEN, "NANOGRID_DATA_DIR": str(folder)}
    env |= {"NANOGRID_REDIS_URL": redis_url} if redis_url else {}
    url = f"http://{addresses['gateway']}"
    with ExitStack() as stack:
        for name in services:
            stack.enter_context(_process(name, env))
        _until_healthy(url)
        yield url


@contextmanager
def _process(name: str, env: dict[str, str]) -> Iterator[None]:
    module = name if name == "gateway" else f"services.{name}"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NANOGRID_")}
    command = [sys.executable, "-P", "-m", module]
    with subprocess.Popen(command, env=inherited | env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"serving"' in line:
                break
        yield
        process.terminate()
        process.communicate()


def _until_healthy(url: str) -> None:
    deadline = time.monotonic() + WATCHDOG_S
    while True:
        try:
            httpx.get(f"{url}/health", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline, "the gateway does not serve"
            time.sleep(0.02)
        else:
            return


def a_grid(url: str) -> LocalGrid:
    """The description of a grid that runs, as this very process, at `url`."""
    return LocalGrid(
        pid=os.getpid(),
        started=start_time(os.getpid()) or "",
        url=url,
        registry_address="",
        artifacts_address="",
        invoker_address="",
        redis_url="",
        sandbox_url="process:",
        executors=1,
        logs="",
    )
