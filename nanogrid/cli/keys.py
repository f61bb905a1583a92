"""`nanogrid keys`: API keys, for holders of the grid's internal token."""

from typing import Annotated

import typer

from nanogrid.cli.operator import open_operator
from nanogrid.cli.session import session

_COLUMNS = ("key_id", "principal", "created_at", "revoked_at")

app = typer.Typer(
    help="Make, list and revoke API keys. Needs the grid's internal token.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("create")
def create(
    ctx: typer.Context, principal: Annotated[str, typer.Argument(help="Who will own what the key's holder makes.")]
) -> None:
    """Make an API key and print it. It is shown only this once."""
    here = session(ctx)
    with open_operator(here) as grid:
        made = grid.create_key(principal)
    here.printer.plain(made["api_key"], made)


@app.command("list")
def show_all(ctx: typer.Context) -> None:
    """Show API keys, newest first, revoked ones too."""
    here = session(ctx)
    with open_operator(here) as grid:
        here.printer.rows("keys", list(grid.keys()), _COLUMNS)


@app.command("revoke")
def revoke(ctx: typer.Context, key_id: Annotated[str, typer.Argument(help="The key's public part.")]) -> None:
    """Revoke an API key. It may work for another 30 s."""
    here = session(ctx)
    with open_operator(here) as grid:
        here.printer.plain(f"revoked {key_id}", grid.revoke_key(key_id))
