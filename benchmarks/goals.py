"""The goals as data: what is measured, against whom, what is promised (commit) and what is hoped for (moonshot)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.interleave import Summary

OURS = "NanoGrid"
DOCKER_EXEC, DOCKER_RUN, PYTHON = "docker exec", "docker run", "/usr/bin/python3"
RIE, FRAMEWORK, CELERY = "AWS RIE", "functions-framework", "celery + Redis"
CELERY_HTTP = "FastAPI + celery + Redis"
FRAMEWORK_2 = "functions-framework, 2 workers"
OURS_WARM = "NanoGrid, warm"
DOCKER_RUN_4 = "docker run, 4 at a time"
OURS_NO_BACKLOG = "NanoGrid, no backlog"
OURS_DRAINED, CELERY_DRAINED = "NanoGrid, worked off", "celery + Redis, worked off"

# The calls of G13: of which kind, and where.
AWS_HERE = "AWS's stand-ins"
SENDS, RECEIVES, DELETES = "SQS SendMessage(Batch)", "SQS ReceiveMessage", "SQS DeleteMessage(Batch)"
PUTS, READS, DYNAMODB, OTHERS = "S3 PutObject", "S3, other calls", "DynamoDB", "other services"
KINDS = (SENDS, RECEIVES, DELETES, PUTS, READS, DYNAMODB, OTHERS)
BEFORE, BEHIND, LOADED = "one client, before the answer", "one client, behind it", "16 clients, all"
PLACES = (BEFORE, BEHIND, LOADED)


def cell(kind: str, place: str) -> str:
    """The arm of G13 that has calls of this kind there."""
    return f"{kind}: {place}"


Series = Mapping[str, Summary]  # arm -> what it came to, of one goal
Statistic = Literal["p50", "p90", "p99"]

_SHARED = 0.9  # calls per invocation at most, where one call serves several


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit for a figure of an arm, mostly our own, or for its ratio to the sum of other figures."""

    text: str
    limit: float
    at_least: bool = False
    statistic: Statistic = "p50"
    over: tuple[tuple[str, Statistic], ...] = ()
    arm: str = OURS

    def value(self, series: Series) -> float | None:
        """What the limit is for; None where an arm was not measured."""
        if self.arm not in series or any(arm not in series for arm, _ in self.over):
            return None
        value: float = getattr(series[self.arm], self.statistic)
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
    """`unit` is that of every arm but those that `units` has others for."""

    goal_id: str
    metric: str
    unit: str
    commit: tuple[Bound, ...]
    moonshot: tuple[Bound, ...]
    units: Mapping[str, str] = field(default_factory=dict)

    def unit_of(self, arm: str) -> str:
        """In what the arm is measured."""
        return self.units.get(arm, self.unit)

    def beside(self, arm: str) -> str:
        """The arm of ours that another is there to be compared with."""
        for bound in self.commit:
            if any(arm == other for other, _ in bound.over):
                return bound.arm
        return OURS


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


def _ratio(text: str, limit: float, *peers: str, at_least: bool = False, arm: str = OURS) -> Bound:
    return Bound(text, limit, at_least=at_least, over=tuple((peer, "p50") for peer in peers), arm=arm)


def _calls(text: str, limit: float, kind: str, place: str) -> Bound:
    """In every round; rounds are few, so their p99 is the most."""
    return Bound(text, limit, statistic="p99", arm=cell(kind, place))


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
            _ratio("≥ 3 times celery over HTTP", 3, CELERY_HTTP, at_least=True),
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
        "G10",
        "warm call while 100,000 jobs are queued ÷ without; jobs worked off per second when nobody waits",
        "ms",
        (
            _ratio("≤ 1.3 times without", 1.3, OURS_NO_BACKLOG),
            _ratio("worked off ≥ celery's rate", 1, CELERY_DRAINED, at_least=True, arm=OURS_DRAINED),
        ),
        (
            _ratio("≤ 1.1 times without", 1.1, OURS_NO_BACKLOG),
            _ratio("worked off ≥ 3 times celery's rate", 3, CELERY_DRAINED, at_least=True, arm=OURS_DRAINED),
        ),
        {OURS_DRAINED: "jobs/s", CELERY_DRAINED: "jobs/s"},
    ),
    Goal(
        "G11",
        "p99 ÷ p50 of a warm call at half the throughput of G6, open loop",
        "ms",
        (Bound("≤ 6", 6, statistic="p99", over=((OURS, "p50"),)),),
        (Bound("≤ 2.5", 2.5, statistic="p99", over=((OURS, "p50"),)),),
    ),
    Goal(
        "G13",
        "calls to AWS per warm invocation, before its answer",
        "calls",
        (
            _calls("before the answer ≤ 1 send", 1, SENDS, BEFORE),
            _calls("≤ 1 receive", 1, RECEIVES, BEFORE),
            _calls("no S3 put", 0, PUTS, BEFORE),
            _calls("no other S3", 0, READS, BEFORE),
            _calls("no DynamoDB", 0, DYNAMODB, BEFORE),
            _calls("behind it ≤ 1 S3 put", 1, PUTS, BEHIND),
            _calls("no other S3", 0, READS, BEHIND),
            _calls("no DynamoDB", 0, DYNAMODB, BEHIND),
            _calls("with 16 clients ≤ 0.9 receives", _SHARED, RECEIVES, LOADED),
            _calls("≤ 0.9 deletions", _SHARED, DELETES, LOADED),
        ),
        (_calls("with 16 clients ≤ 0.9 sends", _SHARED, SENDS, LOADED),),
    ),
)


def goal(goal_id: str) -> Goal:
    """The goal of that id. KeyError when there is none."""
    return {one.goal_id: one for one in GOALS}[goal_id]
