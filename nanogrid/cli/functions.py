"""`nanogrid upload` and `nanogrid functions`."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nanogrid.cli.bundle import guess_runtime, prepare
from nanogrid.cli.client import open_client
from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.session import session
from nanogrid.limits import MAX_MEMORY_MB, MIN_MEMORY_MB

_COLUMNS = ("function_id", "function_name", "runtime", "handler", "timeout", "memory_mb", "created_at")

FunctionArgument = Annotated[str, typer.Argument(metavar="FUNCTION", help="Id, or name (the newest of it).")]

app = typer.Typer(help="List, show and delete functions.", no_args_is_help=True, rich_markup_mode=None)


class Mode(StrEnum):
    """Whether calls share one process."""

    REUSE = "reuse"
    FRESH = "fresh"


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command()(upload)
    root.add_typer(app, name="functions")


def upload(  # noqa: PLR0917 - typer reads options off the signature, by name
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A source file, a zip, or a folder.")],
    name: Annotated[str | None, typer.Option(help="[default: the file's name without its ending]")] = None,
    runtime: Annotated[str | None, typer.Option(help="For example python3.11. [default: by the file]")] = None,
    handler: Annotated[str | None, typer.Option(help="module.function. [default: <file>.handler]")] = None,
    timeout: Annotated[int | None, typer.Option(min=0, help="Seconds a call may take; 0 = no limit.")] = None,
    memory: Annotated[int | None, typer.Option(min=MIN_MEMORY_MB, max=MAX_MEMORY_MB, help="MiB.")] = None,
    env: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Environment variable; repeatable.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="reuse: calls share a process. fresh: a process each.")] = None,
) -> None:
    """Upload code as a new function and print its id."""
    here = session(ctx)
    chosen = {
        "function_name": name or path.resolve().stem,
        "handler": handler,
        "timeout": timeout,
        "memory_mb": memory,
        "env": json.dumps(parse_env(env)) if env else None,
        "mode": mode,
    }
    with prepare(path, here.printer.remark) as file, open_client(here.api, here.api_key) as client:
        chosen["runtime"] = runtime or guess_runtime(file)
        created = client.upload(file, {key: str(value) for key, value in chosen.items() if value is not None})
    here.printer.plain(str(created.get("function_id")), created)


@app.command("list")
def show_all(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="Only functions of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most to show.")] = 50,
) -> None:
    """Show functions, newest first."""
    here = session(ctx)
    with open_client(here.api, here.api_key) as client:
        found = list(client.functions(name=name, limit=limit))
    here.printer.rows("functions", found, _COLUMNS)


@app.command("get")
def show(ctx: typer.Context, function: FunctionArgument) -> None:
    """Show one function."""
    here = session(ctx)
    with open_client(here.api, here.api_key) as client:
        here.printer.thing(client.function(client.resolve(function)))


@app.command("delete")
def delete(ctx: typer.Context, function: FunctionArgument) -> None:
    """Delete a function. Its jobs are cancelled, those that run and those that wait."""
    here = session(ctx)
    with open_client(here.api, here.api_key) as client:
        function_id = client.resolve(function)
        client.delete_function(function_id)
    here.printer.plain(f"deleted {function_id}", {"function_id": function_id, "deleted": True})


def parse_env(pairs: Sequence[str]) -> dict[str, str]:
    """`K=V` pairs as a mapping. The last of a name wins. CliError for anything else."""
    env = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise CliError(f"--env: {pair!r} is not K=V", Exit.USAGE)
        env[key] = value
    return env
