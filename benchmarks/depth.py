"""G10: what a long queue costs those who wait for an answer, and how fast it is worked off when nobody does."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from benchmarks import goals
from benchmarks.arms import timed
from benchmarks.backlog import Backlog
from benchmarks.grid import Grid, check
from benchmarks.interleave import without_collections
from benchmarks.load import connections
from benchmarks.peers import celery
from benchmarks.runs import Run

_FIRST_CALLS = 10  # not timed: the connection is new, the sandbox was frozen, the queue was being worked off
_NOW_AND_THEN_S = 0.02
_ARMS = (goals.OURS, goals.OURS_NO_BACKLOG, goals.OURS_DRAINED, goals.CELERY_DRAINED)
_REST_S = 1.0  # what served the backlog freezes, Docker and Redis come to rest


def measure(run_: Run, grid: Grid) -> None:
    """Without, with, and so on, Redis emptied in between; the last backlog is worked off; without once more.

    Celery's turn is before and after all that.
    """
    effort = run_.effort
    values: dict[str, list[float]] = {}
    with ExitStack() as stack, without_collections():
        peer = run_.wanted(stack, goals.CELERY_DRAINED, lambda: celery.draining(run_.folder))
        [call] = grid.upload()
        backlog = Backlog(grid)

        def take(arm: str, taken: list[float]) -> None:
            values.setdefault(arm, []).extend(taken)

        if peer:
            run_.tell(f"G10: celery, {effort.peer_backlog} calls")
            take(goals.CELERY_DRAINED, peer(effort.peer_backlog))
        _sandboxes_for(backlog)
        for number in range(effort.backlog_rounds):
            take(goals.OURS_NO_BACKLOG, _calls(grid, call, effort.backlog_calls))
            run_.tell(f"G10: {effort.backlog} jobs are queued")
            with _calling(grid, call):
                backlog.fill(effort.backlog)
            take(goals.OURS, _calls(grid, call, effort.backlog_calls, rest_s=0))
            if number == effort.backlog_rounds - 1:
                run_.tell("G10: they are worked off")
                take(goals.OURS_DRAINED, backlog.drained(effort.drain_s))
            backlog.forget()
        take(goals.OURS_NO_BACKLOG, _calls(grid, call, effort.backlog_calls))
        if peer:
            take(goals.CELERY_DRAINED, peer(effort.peer_backlog))
    run_.values["G10"] = {arm: values[arm] for arm in _ARMS if arm in values}


@contextmanager
def _calling(grid: Grid, packed: bytes) -> Iterator[None]:
    """Call now and then, so that little of a backlog is worked off before it is whole: see the executor's poller."""
    over = threading.Event()

    def call() -> None:
        with connections(grid.address, 1) as [client]:
            while not over.wait(_NOW_AND_THEN_S):
                check(client.call(packed))

    with ThreadPoolExecutor(1) as thread:
        called = thread.submit(call)
        try:
            yield
        finally:
            over.set()
        called.result()


def _sandboxes_for(backlog: Backlog) -> None:
    """The backlog's function gets the sandboxes it needs."""
    backlog.fill(100)
    backlog.drained()


def _calls(grid: Grid, packed: bytes, count: int, rest_s: float = _REST_S) -> list[float]:
    """Milliseconds of so many calls, one after the other, over a new connection: old ones were closed meanwhile."""
    time.sleep(rest_s)
    with connections(grid.address, 1) as [client]:
        for _ in range(_FIRST_CALLS):
            check(client.call(packed))
        return timed(lambda _: client.call(packed), calls=count, check=check)()
