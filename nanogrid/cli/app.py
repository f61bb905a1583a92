"""The commands and their options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nanogrid.cli import dlq, functions, jobs, keys, local
from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.output import Format, Printer
from nanogrid.cli.session import Session

_EPILOG = (
    "Exit codes: 0 ok · 1 the function failed · 2 usage, or the request was refused · 3 not found · "
    "4 not authenticated or not allowed · 5 unavailable, try again · 6 a fault of NanoGrid"
)

_GLOBAL_OPTIONS = frozenset({"-o", "--output", "--url", "--api-key", "--data-dir"})

# Other tools' words for these commands. Typer itself suggests the command that a misspelt one is close to.
_OTHER_WORDS = {
    **dict.fromkeys(("start", "serve", "dev"), "up"),
    **dict.fromkeys(("stop", "halt"), "down"),
    **dict.fromkeys(("deploy", "create", "push", "publish", "add"), "upload"),
    **dict.fromkeys(("invoke", "call", "exec", "execute", "test"), "run"),
    **dict.fromkeys(("result", "get", "poll", "job", "logs"), "status"),
    **dict.fromkeys(("list", "ls", "function", "fn"), "functions list"),
    **dict.fromkeys(("delete", "remove", "rm"), "functions delete"),
}


class Commands(TyperGroup):
    """The commands, and an answer for other tools' names of them."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name, or None. CliError names the command that is called otherwise elsewhere."""
        found = super().get_command(ctx, cmd_name)
        if found is None and (meant := _OTHER_WORDS.get(cmd_name)):
            raise CliError(f"there is no command {cmd_name!r}; did you mean `nanogrid {meant}`?", Exit.USAGE)
        return found


app = typer.Typer(
    name="nanogrid",
    cls=Commands,
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
