"""`python -m benchmarks`: measure, print, keep. `python -m benchmarks report FILE` writes a result into the docs."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import report, results
from benchmarks.goals import GOALS
from benchmarks.peers import pypi
from benchmarks.runs import QUICK, Effort, Run
from benchmarks.suites import measure

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)
_IDS = [goal.goal_id for goal in GOALS]


@app.callback(invoke_without_command=True)
def run(
    ctx: typer.Context,
    goals: Annotated[str, typer.Option(help="which, such as G1,G3")] = ",".join(_IDS),
    quick: Annotated[bool, typer.Option("--quick", help="few samples, to see that it works; nothing is kept")] = False,
    output: Annotated[Path | None, typer.Option(help="where the JSON goes; a picture goes beside it")] = None,
) -> None:
    """Measure every goal beside its peers; a file for the day and machine is kept in benchmarks/results."""
    if ctx.invoked_subcommand is not None:
        return
    wanted = set(goals.upper().split(","))
    if unknown := wanted - set(_IDS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is none of {', '.join(_IDS)}", param_hint="--goals")
    began = time.monotonic()
    if problem := pypi.install():
        _tell(f"the peers from PyPI could not be installed: {problem}")
    with tempfile.TemporaryDirectory() as folder:
        measured = Run(QUICK if quick else Effort(), Path(folder), _tell)
        measure(measured, wanted)
    result = results.make(measured.values, measured.missing, measured.profile.ms_per_call())
    _show(result)
    _tell(f"took {time.monotonic() - began:.0f} s")
    path = output or (None if quick else results.default_path(result))
    if path:
        results.write(result, path)
        _tell(f"kept as {path}; `python -m benchmarks report {path}` writes it into {report.PAGE.name}")


@app.command("report")
def write_report(file: Annotated[Path, typer.Argument(exists=True, help="a result")]) -> None:
    """Draw a result's picture and put its tables into docs/benchmarks.md."""
    result = results.read(file)
    _show(result)
    _tell(f"drew {report.publish(result, file)}")


def _show(result: results.Result) -> None:
    shown = (report.figures(result), report.summary(result), report.cloud_calls(result), report.profile(result))
    for part in shown:
        if part:
            print(part, end="\n\n", flush=True)
    for peer, why in result.missing.items():
        _tell(f"not there: {peer}: {why}")


def _tell(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # grids and peers are ended on the way out
    app()
