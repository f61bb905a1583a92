"""The tables of a result, for the terminal and for docs/benchmarks.md."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.goals import GOALS, KINDS, OURS, PLACES, Bound, Goal, Series, cell, judge
from benchmarks.interleave import Summary
from benchmarks.picture import draw
from benchmarks.results import Result

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_WORDS = {True: "met", False: "missed", None: "not measured"}


def summary(result: Result) -> str:
    """Every goal with what was measured, what was promised and what came of it."""
    head = ("goal", "metric", "measured (p50)", "commit", "", "moonshot", "")
    return _table(head, [_goal_row(goal, series) for goal, series in _measured(result)])


def figures(result: Result) -> str:
    """Every arm's percentiles and its ratio to ours."""
    head = ("goal", "arm", "unit", "samples", "p50", "p90", "p99", "ours ÷ it")
    rows = [
        (goal.goal_id, arm, goal.unit_of(arm), str(one.samples), *_percentiles(one), _ours(goal, arm, series))
        for goal, series in _measured(result)
        if goal.goal_id != "G13"  # is a table of its own
        for arm, one in series.items()
    ]
    return _table(head, rows) if rows else ""


def cloud_calls(result: Result) -> str:
    """The calls of G13; nothing where they were not counted."""
    if not (series := result.figures.get("G13")):
        return ""
    rows = [(kind, *(_calls(series, cell(kind, place)) for place in PLACES)) for kind in KINDS]
    return _table(("calls to AWS per invocation", *PLACES), rows)


def profile(result: Result) -> str:
    """Processor time per call under the load of G6; nothing where that was not measured."""
    if not result.profile:
        return ""
    rows = [(name, f"{ms:.3f}") for name, ms in result.profile.items()]
    return _table(("process", "CPU ms per call"), [*rows, ("together", f"{sum(result.profile.values()):.3f}")])


def publish(result: Result, file: Path, page: Path = PAGE) -> Path:
    """Draw the picture beside the result's file and write the result into the page; returns the picture."""
    picture = file.with_suffix(".svg")
    picture.write_text(draw(result))
    links = [os.path.relpath(path, page.parent) for path in (file, picture)]
    page.write_text(replaced(page.read_text(), _section(result, *links)))
    return picture


def replaced(page: str, section: str) -> str:
    """The page with its results replaced. ValueError where it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def missed(result: Result) -> list[str]:
    """The commitments that were not kept."""
    return [
        f"{goal.goal_id} ({bound.text}): {_value(bound, series)}"
        for goal, series in _measured(result)
        for bound in goal.commit
        if bound.met(series) is False
    ]


def _section(result: Result, file: str, picture: str) -> str:
    machine = result.machine
    about = (
        f"Measured {result.date} at commit {result.commit}, {machine['cpus']} CPUs ({machine['cpu']}), "
        f"{machine['memory_gb']} GB, Linux {machine['kernel']}, Docker {machine['docker']}, "
        f"cgroup v{machine['cgroup']}, Python {machine['python']}. All figures: [{Path(file).name}]({file})."
    )
    parts = [about, f"![Warm and first calls beside their peers]({picture})", summary(result), figures(result)]
    if misses := missed(result):
        parts.append("Commitments missed: " + "; ".join(misses) + ".")
    if counted := cloud_calls(result):
        parts += ["Calls to AWS, G13:", counted]
    if costs := profile(result):
        parts += ["Where the processors' time goes under the load of G6:", costs]
    if result.missing:
        parts.append("Not there: " + "; ".join(f"{peer} ({why})" for peer, why in result.missing.items()) + ".")
    return "\n\n".join(parts)


def _measured(result: Result) -> Iterator[tuple[Goal, Series]]:
    for goal in GOALS:
        if goal.goal_id in result.figures:
            yield goal, result.figures[goal.goal_id]


def _goal_row(goal: Goal, series: Series) -> tuple[str, ...]:
    verdict = judge(goal, series)
    measured = f"{_number(series[OURS].p50)} {goal.unit}" if OURS in series else "-"
    commit, moonshot = (
        "; ".join(_with_value(bound, series) for bound in side) for side in (goal.commit, goal.moonshot)
    )
    return goal.goal_id, goal.metric, measured, commit, _WORDS[verdict.commit], moonshot, _WORDS[verdict.moonshot]


def _with_value(bound: Bound, series: Series) -> str:
    """A bound, and what it came to unless that is said already."""
    return f"{bound.text} ({_value(bound, series)})" if bound.over or bound.arm != OURS else bound.text


def _value(bound: Bound, series: Series) -> str:
    value = bound.value(series)
    if value is None:
        return "?"
    if bound.limit < 0.2 and bound.over and value > 0:
        return f"1/{1 / value:.1f}"
    return f"{value:.2f}" if bound.over else _number(value)


def _percentiles(one: Summary) -> tuple[str, str, str]:
    return _number(one.p50), _number(one.p90), _number(one.p99)


def _calls(series: Series, arm: str) -> str:
    return f"{series[arm].p50:.2f}".rstrip("0").rstrip(".") if arm in series else "-"


def _ours(goal: Goal, arm: str, series: Series) -> str:
    ours = goal.beside(arm)
    if arm == ours or ours not in series or goal.unit_of(arm) != goal.unit_of(ours):
        return ""
    ratio = series[ours].p50 / series[arm].p50
    return f"{ratio:.2f}" if ratio >= 0.2 else f"1/{1 / ratio:.1f}"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 if value < 10 else 1}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown that can also be read in a terminal."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * max(3, width) for width in widths], *rows]
    return "\n".join(
        re.sub(r" +$", "", "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |")
        for line in lines
    )
