"""The goals as data: what is measured, against whom, what is promised (commit) and what is hoped for (moonshot)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.interleave import Summary

OURS = "NanoGrid"
DOCKER_EXEC, DOCKER_RUN, PYTHON = "docker exec", "docker run", "/usr/bin/python3"
RIE, FRAMEWORK, CELERY = "AWS RIE", "functions-framework", "celery + Redis"
FRAMEWORK_2 = "functions-framework, 2 workers"
OURS_WARM = "NanoGrid, warm"
DOCKER_RUN_4 = "docker run, 4 at a time"

Series = Mapping[str, Summary]  # arm -> what it came to, of one goal
Statistic = Literal["p50", "p90", "p99"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit for a figure of our own arm, or for its ratio to the sum of other figures."""

    text: str
    limit: float
    at_least: bool = False
    statistic: Statistic = "p50"
    over: tuple[tuple[str, Statistic], ...] = ()

    def value(self, series: Series) -> float | None:
        """What the limit is for; None where an arm was not measured."""
        if OURS not in series or any(arm not in series for arm, _ in self.over):
            return None
        value: float = getattr(series[OURS], self.statistic)
        peers = sum(getattr(series[arm], statistic) for arm, statistic in self.over)
        return value / peers if self.over else value

    def met(self, series: Series) -> bool | None:
        """Whether it holds; None where that was not measured."""
        value = self.value(series)
        if value is None:
            return None
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Goal:
    """`unit` is that of every arm."""

    goal_id: str
    metric: str
    unit: str
    commit: tuple[Bound, ...]
    moonshot: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a goal; None = not measured, because a peer was missing."""

    commit: bool | None
    moonshot: bool | None


def judge(goal: Goal, series: Series) -> Verdict:
    """Whether the goal was met."""
    return Verdict(_all(goal.commit, series), _all(goal.moonshot, series))


def _all(bounds: Sequence[Bound], series: Series) -> bool | None:
    """A miss is a miss whatever else is unknown; an unknown keeps a goal from being met."""
    met = [bound.met(series) for bound in bounds]
    if False in met:
        return False
    return None if None in met else True


def _ratio(text: str, limit: float, *peers: str, at_least: bool = False) -> Bound:
    return Bound(text, limit, at_least=at_least, over=tuple((peer, "p50") for peer in peers))


GOALS: tuple[Goal, ...] = (
    Goal(
        "G1",
        "warm call over REST, `reuse`, one client",
        "ms",
        (Bound("≤ 2.5 ms", 2.5), _ratio("≤ 1/15 of docker exec", 1 / 15, DOCKER_EXEC)),
        (Bound("≤ 1.3 ms", 1.3), _ratio("≤ 2.5 times RIE", 2.5, RIE)),
    ),
    Goal(
        "G2",
        "warm call over REST, `fresh` process per call",
        "ms",
        (_ratio("≤ 0.5 times /usr/bin/python3", 0.5, PYTHON), _ratio("≤ 1/8 of docker exec", 1 / 8, DOCKER_EXEC)),
        (_ratio("≤ 0.2 times /usr/bin/python3", 0.2, PYTHON),),
    ),
    Goal(
        "G3",
        "first call of a never-seen function, pool warm",
        "ms",
        (_ratio("≤ 1/15 of docker run", 1 / 15, DOCKER_RUN), Bound("≤ 15 ms", 15)),
        (_ratio("≤ 1/40 of docker run", 1 / 40, DOCKER_RUN), Bound("≤ 6 ms", 6)),
    ),
    Goal(
        "G4",
        "first call of a never-seen function, pool empty",
        "ms",
        (_ratio("≤ 0.95 times (docker run + our warm call)", 0.95, DOCKER_RUN, OURS_WARM),),
        (_ratio("≤ 0.5 times (docker run + our warm call)", 0.5, DOCKER_RUN, OURS_WARM),),
    ),
    Goal(
        "G5",
        "32 new functions at once, pool of 32, until the last answer",
        "ms",
        (_ratio("≤ 1/10 of docker run, 4 at a time", 1 / 10, DOCKER_RUN_4),),
        (_ratio("≤ 1/50 of docker run, 4 at a time", 1 / 50, DOCKER_RUN_4),),
    ),
    Goal(
        "G6",
        "throughput over REST, `reuse`, 16 clients",
        "calls/s",
        (
            _ratio("≥ 0.35 times functions-framework", 0.35, FRAMEWORK, at_least=True),
            Bound("≥ 1,000/s", 1000, at_least=True),
            _ratio("≥ 3 times celery", 3, CELERY, at_least=True),
        ),
        (_ratio("≥ 0.8 times functions-framework", 0.8, FRAMEWORK, at_least=True),),
    ),
    Goal(
        "G7",
        "memory per idle specialised Python sandbox, containerd's shim included",
        "MB",
        (Bound("≤ 20 MB", 20),),
        (Bound("≤ 12 MB", 12),),
    ),
    Goal(
        "G11",
        "p99 ÷ p50 of a warm call at half the throughput of G6, open loop",
        "ms",
        (Bound("≤ 6", 6, statistic="p99", over=((OURS, "p50"),)),),
        (Bound("≤ 2.5", 2.5, statistic="p99", over=((OURS, "p50"),)),),
    ),
)


def goal(goal_id: str) -> Goal:
    """The goal of that id. KeyError when there is none."""
    return {one.goal_id: one for one in GOALS}[goal_id]
