"""Runs a call of nearly five minutes on a separate grid while other tests run."""

import concurrent.futures
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.grid import Grid, running_grid
from support.waiting import WATCHDOG_S

LONG_CALL = "test_a_call_of_285_seconds_on_a_quiet_grid_is_answered"
CALL_S = 285  # below the 290 s of a sync wait and the 300 s of a load balancer
_ANSWER_S = CALL_S + WATCHDOG_S

SOURCE = f"import time\ndef handler(event, context):\n    time.sleep({CALL_S})\n    return 'awake'"


class LongCall:
    """The running call."""

    def __init__(self, grid: Grid, answer: "concurrent.futures.Future[httpx.Response]") -> None:
        self._grid = grid
        self._answer = answer

    def wait(self) -> httpx.Response:
        """Wait for the answer and return it."""
        return self._answer.result(_ANSWER_S)

    def logs(self) -> str:
        """Return all log lines of the grid."""
        return "".join(path.read_text() for path in Path(self._grid.folder, "logs").glob("*.log"))


@contextmanager
def long_call(folder: Path) -> Iterator[LongCall]:
    with (
        running_grid(folder, NANOGRID_EXECUTOR_SANDBOX_URL="process:", NANOGRID_EXECUTOR_DRAIN_S="0") as grid,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        body = {"function_id": grid.upload(SOURCE, timeout=CALL_S + 60)}
        yield LongCall(grid, pool.submit(grid.http.post, "/run", json=body, timeout=_ANSWER_S))
