"""The commands and their options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nanogrid.cli import dlq, functions, jobs, keys, local
from nanogrid.cli.output import Format, Printer
from nanogrid.cli.session import Session

_EPILOG = (
    "Exit codes: 0 ok · 1 the function failed · 2 usage, or the request was refused · 3 not found · "
    "4 not authenticated or not allowed · 5 unavailable, try again · 6 a fault of NanoGrid"
)

_GLOBAL_OPTIONS = frozenset({"-o", "--output", "--url", "--api-key", "--data-dir"})

app = typer.Typer(
    name="nanogrid",
    help="Upload code, call it over REST, get the result back.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # `main` says what went wrong, in one line
    rich_markup_mode=None,
)
local.register(app)
functions.register(app)
jobs.register(app)
app.add_typer(keys.app, name="keys")
app.add_typer(dlq.app, name="dlq")


@app.callback()
def options(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="NANOGRID_URL", help="Where the API is. [default: http://127.0.0.1:8080]")
    ] = None,
    api_key: Annotated[
        str, typer.Option(envvar="NANOGRID_API_KEY", help="Needed unless the grid runs on loopback.")
    ] = "",
    data_dir: Annotated[Path, typer.Option(envvar="NANOGRID_DATA_DIR", help="Data folder of the local grid.")] = Path(
        ".nanogrid"
    ),
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE,
) -> None:
    ctx.obj = Session(url, api_key, data_dir.absolute(), Printer(output))


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the global options first, so that they may be written anywhere.

    `functions list -o json`.
    """
    first: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument in _GLOBAL_OPTIONS:
            first += [argument, *([value] if (value := next(left, None)) is not None else [])]
        else:
            target = first if argument.partition("=")[0] in _GLOBAL_OPTIONS else rest
            target.append(argument)
    return first + rest
