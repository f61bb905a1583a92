"""A run as JSON: every figure, the machine, the verdicts; what the tables and pictures are made from."""

import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.goals import GOALS, judge
from benchmarks.interleave import Summary, summarise

FOLDER = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Result:
    """One run, as its file has it."""

    date: str
    machine: dict[str, Any]
    commit: str
    figures: dict[str, dict[str, Summary]]
    missing: dict[str, str]
    profile: dict[str, float]


def make(
    values: Mapping[str, Mapping[str, Sequence[float]]], missing: dict[str, str], profile: dict[str, float]
) -> Result:
    """A result out of samples."""
    figures = {goal: {arm: summarise(one) for arm, one in series.items()} for goal, series in values.items()}
    date = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Result(
        date,
        _machine(),
        _said("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"),
        figures,
        missing,
        profile,
    )


def write(result: Result, path: Path) -> None:
    """Write a result; the verdicts in it are for readers and made anew from the figures by whoever reads it."""
    verdicts = {
        goal.goal_id: asdict(judge(goal, result.figures[goal.goal_id]))
        for goal in GOALS
        if goal.goal_id in result.figures
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result) | {"verdicts": verdicts}, indent=2, ensure_ascii=False) + "\n")


def read(path: Path) -> Result:
    """Read what `write` wrote."""
    found = json.loads(path.read_text())
    found.pop("verdicts")
    figures = {goal: {arm: Summary(**one) for arm, one in series.items()} for goal, series in found["figures"].items()}
    return Result(**found | {"figures": figures})


def default_path(result: Result) -> Path:
    """results/{date}-{machine}.json."""
    machine = f"{result.machine['cpus']}x {result.machine['cpu']}"
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)|@.*|\bcpu\b|processor", " ", machine.lower())).strip("-")
    return FOLDER / f"{result.date[:10]}-{slug}.json"


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text()
    models = re.findall(r"^model name\s*: (.*)$", info, re.MULTILINE)
    memory_kb = int(re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[0])
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus": len(re.findall(r"^processor\s*:", info, re.MULTILINE)),
        "memory_gb": round(memory_kb / 1e6, 1),
        "kernel": platform.release(),
        "docker": _said("docker", "version", "--format", "{{.Server.Version}}"),
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "python": _said("/usr/bin/python3", "-c", "import platform; print(platform.python_version())"),
    }


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
