"""The address and the internal token that a local grid leaves in its data folder for the command line."""

import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from nanogrid.local.processes import is_running

_GRID_FILE = "grid.json"
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

    @property
    def running(self) -> bool:
        """Tell whether that very process still runs."""
        return is_running(self.pid, self.started)


def write_grid(data_dir: Path, grid: LocalGrid) -> None:
    """Record the grid, whole or not at all. Only the owner may read it: a Redis URL may hold a password."""
    _write_private(data_dir / _GRID_FILE, orjson.dumps(asdict(grid), option=orjson.OPT_INDENT_2))


def read_grid(data_dir: Path) -> LocalGrid | None:
    """Return the grid last recorded here, running or not, or None where it is missing or cannot be read."""
    try:
        found = orjson.loads((data_dir / _GRID_FILE).read_bytes())
        return LocalGrid(**{field.name: found[field.name] for field in fields(LocalGrid)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
