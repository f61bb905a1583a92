"""The session of a command: the address of NanoGrid, the API key and the printer."""

from dataclasses import dataclass
from pathlib import Path

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
        grid = read_grid(self.data_dir)
        return grid.url if grid and grid.running else DEFAULT_URL


def session(ctx: typer.Context) -> Session:
    """Return the session that the callback of the app made."""
    found = ctx.find_object(Session)
    assert found is not None
    return found
