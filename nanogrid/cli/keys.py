"""`nanogrid keys`: API keys, for holders of the grid's internal token."""

from types import ModuleType
from typing import Annotated

import typer

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
    made = _registry().create_key(here.data_dir, principal)
    here.printer.plain(made["api_key"], made)


@app.command("list")
def show_all(ctx: typer.Context) -> None:
    """Show API keys, newest first, revoked ones too."""
    here = session(ctx)
    here.printer.rows("keys", _registry().list_keys(here.data_dir), _COLUMNS)


@app.command("revoke")
def revoke(ctx: typer.Context, key_id: Annotated[str, typer.Argument(help="The key's public part.")]) -> None:
    """Revoke an API key. It may work for another 30 s."""
    here = session(ctx)
    here.printer.plain(f"revoked {key_id}", _registry().revoke_key(here.data_dir, key_id))


def _registry() -> ModuleType:
    from nanogrid.cli import internal  # noqa: PLC0415 - gRPC is slow to import, and only these commands need it

    return internal
