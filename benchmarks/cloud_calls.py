"""G13: how many calls to AWS a warm invocation costs, before its answer and behind it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import ExitStack

from benchmarks import cloud, goals
from benchmarks.cloud import Cloud
from benchmarks.goals import BEFORE, BEHIND, DELETES, DYNAMODB, LOADED, OTHERS, PUTS, READS, RECEIVES, SENDS, cell
from benchmarks.grid import Grid, check, running_grid
from benchmarks.load import closed_loop, connections
from benchmarks.passthrough import Call
from benchmarks.runs import CLIENTS, GRID, POOL, Run

_WITHOUT = frozenset({("sqs", "SendMessage"), ("sqs", "SendMessageBatch"), ("sqs", "ReceiveMessage")})
_WARM_UP_S = 1.0
_KINDS: Mapping[Call, str] = {
    ("sqs", "SendMessage"): SENDS,
    ("sqs", "SendMessageBatch"): SENDS,
    ("sqs", "ReceiveMessage"): RECEIVES,
    ("sqs", "DeleteMessage"): DELETES,
    ("sqs", "DeleteMessageBatch"): DELETES,
    ("s3", "PutObject"): PUTS,
}
_REST = {"s3": READS, "dynamodb": DYNAMODB}


def by_kind(calls: Mapping[Call, int]) -> dict[str, int]:
    """Every kind that the goal speaks of, and how often it was."""
    found = dict.fromkeys(goals.KINDS, 0)
    for call, count in calls.items():
        found[_KINDS.get(call) or _REST.get(call[0], OTHERS)] += count
    return found


def measure(run_: Run) -> None:
    """Rounds of single calls, each when all is done for the one before, and of a load."""
    effort = run_.effort
    run_.tell(f"G13: {effort.cloud_rounds} rounds")
    with ExitStack() as stack:
        if (aws := run_.wanted(stack, goals.AWS_HERE, lambda: cloud.serving(run_.folder))) is None:
            return
        grid = stack.enter_context(running_grid(aws.environment, **GRID))
        grid.wait_for_pool(POOL)
        [call] = grid.upload()
        _load(aws, grid, call, _WARM_UP_S)
        samples: dict[str, list[float]] = defaultdict(list)
        for _ in range(effort.cloud_rounds):
            before, behind = _one_by_one(aws, grid, call, effort.cloud_calls)
            for where, calls in ((BEFORE, before), (BEHIND, behind), (LOADED, _load(aws, grid, call, effort.cloud_s))):
                for kind, each in calls.items():
                    samples[cell(kind, where)].append(each)
            samples[goals.OURS].append(sum(before.values()))
    run_.values["G13"] = {arm: samples[arm] for arm in (goals.OURS, *samples)}


def _one_by_one(aws: Cloud, grid: Grid, packed: bytes, count: int) -> tuple[dict[str, float], dict[str, float]]:
    """Calls per invocation before the answer and behind it. What a held call would wait for is before its answer."""
    begun, before = aws.through.calls(), Counter[Call]()
    with connections(grid.address, 1) as [client]:
        for _ in range(count):
            with aws.through.holding(_WITHOUT) as hold:
                check(client.call(packed))
            aws.wait_until_done()
            before += hold.passed
    behind = aws.through.calls() - begun - before
    return _each(before, count), _each(behind, count)


def _load(aws: Cloud, grid: Grid, packed: bytes, seconds: float) -> dict[str, float]:
    """Calls per invocation, those behind the answers included."""
    begun = aws.through.calls()
    with connections(grid.address, CLIENTS) as clients:
        done = closed_loop(clients, packed, seconds)
    aws.wait_until_done()
    return _each(aws.through.calls() - begun, len(done.latencies_ms))


def _each(calls: Counter[Call], invocations: int) -> dict[str, float]:
    return {kind: count / invocations for kind, count in by_kind(calls).items()}
