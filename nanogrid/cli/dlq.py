"""`nanogrid dlq`: dead letters, for holders of the grid's internal token."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.operator import open_operator
from nanogrid.cli.session import Session, session

_COLUMNS = ("letter_id", "job_id", "function_id", "reason", "receives", "died_at")
_MOST = 100  # the invoker lists no more at once

LettersArgument = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of letters, as listed.")]

app = typer.Typer(
    help="List dead letters, queue them again, or delete them. Needs the grid's internal token.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def show_all(
    ctx: typer.Context, limit: Annotated[int, typer.Option(min=1, max=_MOST, help="Most to show.")] = 50
) -> None:
    """Show dead letters, oldest first where the queue keeps an order."""
    here = session(ctx)
    with open_operator(here) as grid:
        letters, total = grid.letters(limit)
    here.printer.rows("letters", letters, _COLUMNS, total=total)
    if total > len(letters):
        here.printer.remark(f"{len(letters)} of {total}")


@app.command("redrive")
def redrive(
    ctx: typer.Context,
    letters: LettersArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter that lies there now.")] = False,
) -> None:
    """Queue dead letters again. Their jobs are pending again, with all tries ahead."""
    here = session(ctx)
    chosen = _chosen(letters, everything=everything)
    with open_operator(here) as grid:
        _tell(here, "redriven", grid.redrive(chosen), chosen)


@app.command("purge")
def purge(
    ctx: typer.Context,
    letters: LettersArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every letter that lies there now.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete dead letters for good. Their jobs stay failed."""
    here = session(ctx)
    chosen = _chosen(letters, everything=everything)
    if not yes:
        number = len(chosen) or "all"
        _confirm(f"delete {number} dead letter{'' if number == 1 else 's'} of {here.api} for good?")
    with open_operator(here) as grid:
        _tell(here, "purged", grid.purge(chosen), chosen)


def _chosen(letters: Sequence[str] | None, *, everything: bool) -> list[str]:
    """Return the ids, each once. None means all."""
    chosen = list(dict.fromkeys(letters or ()))
    if bool(chosen) == everything:
        raise CliError("say which letters: their ids (`nanogrid dlq list` shows them), or --all", Exit.USAGE)
    if not all(chosen):
        raise CliError("an empty id names no letter", Exit.USAGE)
    return chosen


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise CliError("deleting asks first, and there is no terminal to ask on; --yes deletes without", Exit.USAGE)
    typer.echo(f"{question} [y/N] ", nl=False, err=True)  # typer's own way of asking puts a blank onto stdout
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CliError("nothing was deleted; --yes deletes without asking", Exit.USAGE)


def _tell(here: Session, done: str, count: int, chosen: Sequence[str]) -> None:
    here.printer.plain(f"{done} {count}", {done: count})
    if count < len(chosen):
        here.printer.remark(f"{len(chosen) - count} were not there any more")
