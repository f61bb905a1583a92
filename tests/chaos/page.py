"""Writes the tables of docs/reliability.md from a run."""

import os
from collections.abc import Sequence
from pathlib import Path

from chaos.results import Report

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def publish(report: Report, file: Path, page: Path = PAGE) -> None:
    """Write the run into the page, between its marks. ValueError when they are missing."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN} and {END}")
    section = _section(report, os.path.relpath(file, page.parent))
    page.write_text(f"{before}{BEGIN}\n\n{section}\n\n{END}{after}", encoding="utf-8")


def _section(report: Report, file: str) -> str:
    about = (
        f"Run {report.date} at commit {report.commit}, scale {report.scale:g}, seed {report.seed}, {report.machine}. "
        f"All figures: [{Path(file).name}]({file})."
    )
    return "\n\n".join([about, experiments(report), breakages(report)])


def experiments(report: Report) -> str:
    """Return the table of all experiments with their sums."""
    head = ("experiment", "what happens", "jobs", "faults", "ran again", "waiters", "dead letters", "lost",
            "duplicated", "longest recovery")  # fmt: skip
    rows = [
        (one.name, one.shows, _n(one.jobs), _n(one.faults), _n(one.interrupted), _n(one.waiters), _n(one.dead_lettered),
         _n(one.lost), _n(one.duplicated), f"{one.longest_recovery_s:.1f} s")
        for one in report.outcomes
    ]  # fmt: skip
    sums = [sum(getattr(one, name) for one in report.outcomes) for name in ("jobs", "faults", "interrupted", "waiters",
            "dead_lettered", "lost", "duplicated")]  # fmt: skip
    longest = max((one.longest_recovery_s for one in report.outcomes), default=0.0)
    return _table(head, [*rows, ("**together**", "", *map(_n, sums), f"{longest:.1f} s")])


def breakages(report: Report) -> str:
    """Return the table of all breakages with the experiments that found them."""
    rows = [
        (one.breakage, one.experiment, f"`{one.found[:100]}`" if one.found else "**not caught**")
        for one in report.catches
    ]
    return _table(("broken on purpose", "experiment", "what the audit said first"), rows) if rows else ""


def _n(number: int) -> str:
    return f"{number:,}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
