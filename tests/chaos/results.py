"""Writes a run's faults and outcomes as JSON, the source of docs/reliability.md."""

import json
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from chaos.audit import Verdict
from chaos.catching import Catch
from chaos.experiments import Experiment

FOLDER = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one experiment."""

    name: str
    shows: str
    jobs: int
    faults: int
    interrupted: int
    waiters: int
    dead_lettered: int
    lost: int
    duplicated: int
    longest_recovery_s: float
    took_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """A run of some or all experiments."""

    scale: float
    seed: int
    date: str
    machine: str
    commit: str
    outcomes: Sequence[Outcome]
    catches: Sequence[Catch] = field(default=())


def outcome(experiment: Experiment, verdict: Verdict, took_s: float) -> Outcome:
    """Return the outcome of an experiment from its verdict."""
    return Outcome(
        experiment.name,
        experiment.shows,
        jobs=verdict.accepted,
        faults=verdict.faults,
        interrupted=verdict.interrupted,
        waiters=verdict.waiters,
        dead_lettered=verdict.dead_lettered,
        lost=len(verdict.lost),
        duplicated=len(verdict.duplicated),
        longest_recovery_s=round(verdict.longest_recovery_s, 1),
        took_s=round(took_s, 1),
    )


def report(scale: float, seed: int, outcomes: Sequence[Outcome], catches: Sequence[Catch]) -> Report:
    """Return a report with the current date, commit and machine."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = re.findall(r"^model name\s*: (.*)$", info, re.MULTILINE) or [platform.machine()]
    machine = f"{len(models)} CPUs ({models[0]}), Linux {platform.release()}"
    date = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    commit = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    said = subprocess.run(commit, capture_output=True, text=True, check=False, cwd=FOLDER.parent).stdout.strip()
    return Report(scale, seed, date, machine, said, outcomes, catches)


def write(what: Report) -> Path:
    """Write the report to results/{date}-seed-{seed}.json and return the path."""
    path = FOLDER / f"{what.date[:10]}-seed-{what.seed}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(what), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
