"""What every command is given: where NanoGrid is, who calls, and how to print."""

from dataclasses import dataclass
from pathlib import Path

import typer

from nanogrid.cli.output import Printer
from nanogrid.local.grid import read_grid

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Session:
    """The global options. `url` is None when nobody said one."""

    url: str | None
    api_key: str
    data_dir: Path
    printer: Printer

    @property
    def api(self) -> str:
        """What was said; else the grid that `nanogrid up` started here; else the default address."""
        if self.url:
            return self.url
        grid = read_grid(self.data_dir)
        return grid.url if grid and grid.running else DEFAULT_URL


def session(ctx: typer.Context) -> Session:
    """The session that the callback of the app made."""
    found = ctx.find_object(Session)
    assert found is not None
    return found
