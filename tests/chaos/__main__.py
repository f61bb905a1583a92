"""`python -m chaos [--publish] [experiment … | breakage … | breakages]`: run these, or everything without names.

CHAOS_SCALE is the share of the full run (1), CHAOS_SEED decides targets and times. Exits with 1 if a job was lost or
duplicated, or a breakage was not caught.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from chaos import page, results
from chaos.catching import Catch, catch_all
from chaos.experiments import Experiment, Run
from chaos.experiments.all import EXPERIMENTS
from chaos.ledger import ledger_folder
from chaos.results import Outcome
from chaos.sabotage import BREAKAGES

T = TypeVar("T")
_SHOWN = 20  # problems of one experiment
_PUBLISH = "--publish"


def main(arguments: Sequence[str]) -> int:
    """Run the named experiments and breakages, or all. Return the exit code."""
    scale, seed = float(os.environ.get("CHAOS_SCALE", "1")), int(os.environ.get("CHAOS_SEED", "1"))
    wanted = [one for one in arguments if one != _PUBLISH]
    outcomes = [_play(one, scale, seed) for one in EXPERIMENTS if not wanted or one.name in wanted]
    broken = [one for one in BREAKAGES if not wanted or one.name in wanted or "breakages" in wanted]
    catches = _run(catch_all(broken, seed, _say)) if broken else []
    if _PUBLISH in arguments:
        report = results.report(scale, seed, outcomes, catches)
        page.publish(report, results.write(report))
    _say(_last_line(outcomes, catches))
    return 0 if all(one.found for one in catches) and not any(one.lost or one.duplicated for one in outcomes) else 1


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end. SIGTERM cancels it, so that it stops its processes."""

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(watched())


def _play(experiment: Experiment, scale: float, seed: int) -> Outcome:
    folder = ledger_folder()
    began = time.monotonic()
    verdict = _run(experiment.play(Run(folder, scale, seed)))
    outcome = results.outcome(experiment, verdict, time.monotonic() - began)
    _say(f"{experiment.name}: {verdict.line()} took={outcome.took_s:.0f}s")
    for problem in (*verdict.lost, *verdict.duplicated)[:_SHOWN]:
        _say(f"    {problem}")
    if verdict.sound:
        shutil.rmtree(folder)
    else:
        _say(f"    what it is judged by: {folder}")
    return outcome


def _last_line(outcomes: Sequence[Outcome], catches: Sequence[Catch]) -> str:
    jobs, faults, lost, duplicated = (
        sum(getattr(one, name) for one in outcomes) for name in ("jobs", "faults", "lost", "duplicated")
    )
    longest_s = max((one.longest_recovery_s for one in outcomes), default=0.0)
    caught = sum(1 for one in catches if one.found)
    return (
        f"chaos: jobs={jobs} faults={faults} lost={lost} duplicated={duplicated} longest-recovery={longest_s:.1f}s "
        f"breakages-caught={caught}/{len(catches)}"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
