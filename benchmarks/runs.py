"""One run of the benchmarks: how much is measured, what came of it, and what every suite measures with."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.arms import Arm
from benchmarks.grid import Grid, check
from benchmarks.http_client import Connection
from benchmarks.interleave import interleave
from benchmarks.load import connections
from benchmarks.processes import PeerMissingError
from benchmarks.profile import Profile

POOL = 4
CLIENTS = 16
SETTLE_S = 0.1  # dockerd is still tidying up when the command line is done
GRID = {"EXECUTOR_POOL": f"python3.11={POOL}", "EXECUTOR_POOL_MOST": str(POOL)}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. The real run needs enough samples for a p99 of what is quick."""

    warm_rounds: int = 60
    warm_calls: int = 25  # quick calls per round; slow ones are three
    cold_rounds: int = 40
    burst_rounds: int = 5
    load_rounds: int = 5
    load_s: float = 3.0
    half_load_s: float = 15.0
    backlog: int = 100_000  # jobs on the queue
    backlog_rounds: int = 2
    backlog_calls: int = 300  # per block
    drain_s: float = 75.0  # at most; more tells nothing new
    peer_backlog: int = 6000  # celery's, twice: it takes far longer to queue
    cloud_rounds: int = 4
    cloud_calls: int = 10  # one after the other, per round
    cloud_s: float = 1.0


QUICK = Effort(
    warm_rounds=3,
    warm_calls=5,
    cold_rounds=3,
    burst_rounds=1,
    load_rounds=1,
    load_s=1.0,
    half_load_s=2.0,
    backlog=2000,
    backlog_rounds=1,
    backlog_calls=50,
    peer_backlog=1000,
    cloud_rounds=1,
    cloud_calls=3,
)


@dataclass(slots=True)
class Run:
    """What one run measures. `values` is goal -> arm -> samples; `missing` says which peers are not there, and why."""

    effort: Effort
    folder: Path
    tell: Tell
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)

    def wanted(self, stack: ExitStack, peer: str, open_peer: Callable[[], Any]) -> Any:
        """Start a peer, or note that it is missing and give None."""
        try:
            return stack.enter_context(open_peer())
        except PeerMissingError as error:
            self.missing[peer] = str(error)
            return None

    def race(self, goal_id: str, arms: list[Arm], rounds: int, warm_ups: int = 1) -> None:
        """Measure a goal's arms."""
        self.tell(f"{goal_id}: {rounds} rounds of {', '.join(arm.name for arm in arms)}")
        self.values[goal_id] = interleave(arms, rounds, warm_ups=warm_ups)


def connected(stack: ExitStack, grid: Grid) -> Connection:
    """A connection to the grid, for as long as the stack lasts."""
    [connection] = stack.enter_context(connections(grid.address, 1))
    return connection


def caller(stack: ExitStack, grid: Grid, mode: str = "reuse") -> Callable[[Any], bytes]:
    """Calls a function that is warm, over a connection of its own."""
    connection = connected(stack, grid)
    [call] = grid.upload(mode)
    check(connection.call(call))
    return lambda _: connection.call(call)
