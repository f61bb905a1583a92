"""The address and the internal token that a local grid leaves in its data folder for the command line."""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import orjson

from nanogrid.local.processes import is_running, start_time

_GRID_FILE = "grid.json"
_LOCK_FILE = "lock"
_OWN = frozenset({"NANOGRID_DATA_DIR"})  # by which the grid was found
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIALS|_KEY\b")
_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*@")  # in a URL
_TOKEN_FILE = "internal-token"  # noqa: S105 - the name of a file, not a secret


@dataclass(frozen=True, slots=True)
class LocalGrid:
    """A running `python -m services`: its process, and where it serves. Addresses are host:port."""

    pid: int
    started: str
    url: str
    registry_address: str
    artifacts_address: str
    invoker_address: str
    redis_url: str
    sandbox_url: str
    executors: int
    logs: str
    # The settings that it was started with, by the names of their variables, and the defaults of all there are.
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = field(default_factory=list)  # of what is odd, and no reason not to start

    @property
    def running(self) -> bool:
        """Return whether that very process still runs."""
        return is_running(self.pid, self.started)


def write_grid(data_dir: Path, grid: LocalGrid) -> None:
    """Record the grid, whole or not at all. Only the owner may read it: a Redis URL may hold a password."""
    _write_private(data_dir / _GRID_FILE, orjson.dumps(asdict(grid), option=orjson.OPT_INDENT_2))


def read_grid(data_dir: Path) -> LocalGrid | None:
    """Return the grid last recorded here, running or not, or None where it is missing or cannot be read."""
    try:
        found = orjson.loads((data_dir / _GRID_FILE).read_bytes())
        known = {one.name: found[one.name] for one in fields(LocalGrid) if one.name in found}
        return LocalGrid(**known)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lock_folder(data_dir: Path) -> int | None:
    """Lock the data folder and note this process in it. Return the descriptor, or None where it is locked."""
    descriptor = os.open(data_dir / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {start_time(os.getpid())}".encode(), 0)
    return descriptor


def read_owner(data_dir: Path) -> tuple[int, str] | None:
    """Return the running process that locked the data folder, as pid and start time. It does not need grid.json."""
    try:
        pid, started = (data_dir / _LOCK_FILE).read_text(encoding="ascii").split(" ", 1)
        return (int(pid), started) if is_running(int(pid), started) else None
    except (OSError, ValueError):
        return None


def differing_settings(grid: LocalGrid, environment: Mapping[str, str]) -> list[str]:
    """Describe the settings of `environment` that the grid was not started with. Secrets are named, never shown."""
    found = []
    now = recorded_settings(environment, grid.defaults)
    for name, default in grid.defaults.items():
        there, here = grid.settings.get(name, default), now.get(name, default)
        if there != here:
            values = "" if _SECRET.search(name) else f" ({_shown(there)} there, {_shown(here)} now)"
            found.append(f"{name}{values}")
    return found


def recorded_settings(environment: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Return the known settings of an environment as they may be recorded: of secrets only a digest."""
    return {
        name: hashlib.sha256(value.encode()).hexdigest() if _SECRET.search(name) else value
        for name, value in environment.items()
        if name in known and name not in _OWN
    }


def _shown(value: str) -> str:
    return repr(_PASSWORD.sub(r"\1…@", value)) if value else "not set"


def remove_grid(data_dir: Path) -> None:
    """Forget the grid recorded here."""
    (data_dir / _GRID_FILE).unlink(missing_ok=True)


def ensure_token(data_dir: Path) -> str:
    """Return the data folder's internal token, made once."""
    if not (token := read_token(data_dir)):
        token = secrets.token_urlsafe(32)
        _write_private(data_dir / _TOKEN_FILE, token.encode())
    return token


def read_token(data_dir: Path) -> str:
    """Return the data folder's internal token. Empty where there is none."""
    try:
        return (data_dir / _TOKEN_FILE).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _write_private(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
