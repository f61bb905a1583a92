"""`nanogrid run` and `nanogrid status`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nanogrid.cli.client import FINAL, open_client
from nanogrid.cli.exits import CliError, Exit
from nanogrid.cli.functions import FunctionArgument
from nanogrid.cli.session import session
from nanogrid.json_mistakes import describe_mistake

_PATH_CHARS = 255  # longer text is no file name, and asking for it would fail


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.command()(run)
    root.command()(status)


def run(
    ctx: typer.Context,
    function: FunctionArgument,
    payload: Annotated[str, typer.Argument(metavar="PAYLOAD", help="JSON, @FILE, or - for stdin.")] = "{}",
    submit: Annotated[bool, typer.Option("--async", help="Print the job's id at once.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="With --async: poll until the job is done.")] = False,
) -> None:
    """Call a function and print its result. Leaves with 1 when the function failed."""
    here = session(ctx)
    event = read_payload(payload)
    with open_client(here.api, here.api_key) as client:
        job, pause_s = client.run(client.resolve(function), event, submit=submit)
        if submit and not wait:
            here.printer.plain(str(job.get("job_id")), job)
            return
        if job.get("status") not in FINAL:
            here.printer.remark(f"following {job.get('job_id')}")
            job = client.follow(job, pause_s)
    here.printer.job(job)
    if job.get("status") != "completed":
        raise typer.Exit(Exit.FUNCTION_FAILED)


def status(
    ctx: typer.Context, job_id: Annotated[str, typer.Argument(metavar="JOB", help="The id that run printed.")]
) -> None:
    """Show a job as it is now."""
    here = session(ctx)
    with open_client(here.api, here.api_key) as client:
        here.printer.thing(client.status(job_id))


def read_payload(text: str) -> Any:
    """Return the event that was meant: JSON as it stands, in a file (`@path`), or on stdin (`-`)."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_refuse)
    except OSError as failure:
        raise CliError(f"PAYLOAD: {text[1:]}: {failure.strerror or failure}", Exit.USAGE) from None
    except UnicodeDecodeError as failure:
        raise CliError(f"PAYLOAD: {failure}; save the file as UTF-8", Exit.USAGE) from None
    except ValueError as failure:
        raise CliError(f"PAYLOAD {_mistake(text, failure)}", Exit.USAGE) from None


def _mistake(text: str, failure: ValueError) -> str:
    if len(text) <= _PATH_CHARS and Path(text).is_file():
        return f"is the name of a file; write @{text} to send what it holds"
    return describe_mistake(text.encode("utf-8", "surrogateescape"), f"is not JSON: {failure}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not in JSON")
