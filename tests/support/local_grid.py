"""Some services of a grid as processes, and the description that a local grid leaves of itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from nanogrid.local.grid import LocalGrid
from nanogrid.local.processes import start_time
from support.redis_server import free_port
from support.waiting import wait_until

TOKEN = "the-grids-own"


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
        wait_until(lambda: _is_healthy(url), "the gateway does not serve")
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


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


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
