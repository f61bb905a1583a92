"""The session of a command: the address of NanoGrid, the API key and the printer."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer

from nanogrid.cli.output import Printer
from nanogrid.local.grid import read_grid

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Session:
    """The global options. `url` is None when it was not given."""

    url: str | None
    api_key: str
    data_dir: Path
    printer: Printer

    @property
    def api(self) -> str:
        """Return the given address, else that of the grid `nanogrid up` started here, else the default."""
        if self.url:
            return self.url
        return self._local_url or DEFAULT_URL

    @property
    def is_local(self) -> bool:
        """Return whether `api` is the grid that `nanogrid up` started on this data folder."""
        return bool(self._local_url) and _place(self.api) == _place(self._local_url)

    @property
    def _local_url(self) -> str:
        grid = read_grid(self.data_dir)
        return grid.url if grid and grid.running else ""


def _place(url: str) -> tuple[str, int | None]:
    """Return the host and port of a URL; every name of this machine is one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return ("127.0.0.1" if host in {"localhost", "::1"} else host), parts.port


def session(ctx: typer.Context) -> Session:
    """Return the session that the callback of the app made."""
    found = ctx.find_object(Session)
    assert found is not None
    return found
