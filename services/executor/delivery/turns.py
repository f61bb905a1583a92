"""Lets jobs of a function begin as its `max_concurrency` allows. Until its turn comes a job is not claimed: PENDING.

Waiting jobs take no place of the executor, so that other functions' jobs run meanwhile. They wait here for a short
while, the next to begin at once when one ends. Then they go back to the queue, where another executor may have room.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import TTLCache

PATIENCE_S = 5.0  # a job that has not begun by then may begin elsewhere
_MOST_WAITING = 16  # messages of a function held while they wait; others go back to the queue at once
_MOST_WAITING_IN_ALL = 64
_FIRST_DELAY_S, _MOST_DELAY_S = 1.0, 60.0
_RETURNS_PER_S = 10  # messages of a function that come back from the queue, when many wait there
_FUNCTIONS = 1_000  # whose messages on the queue are counted


@dataclass(slots=True, eq=False)
class _Turn:
    """One job's turn. `on_begin` is called the moment it comes, before the job's task is resumed."""

    come: "asyncio.Future[bool]"
    on_begin: Callable[[], None]

    def begin(self) -> None:
        self.come.set_result(True)
        self.on_begin()


@dataclass(slots=True)
class _Line:
    running: int = 0
    waiting: "deque[_Turn]" = field(default_factory=deque)


class Turns:
    """The turns of functions that have a limit. For one event loop."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lines: dict[str, _Line] = {}
        self._waiting = 0
        self._returns: TTLCache[str, list[float]] = TTLCache(_FUNCTIONS, 2 * _MOST_DELAY_S)  # monotonic seconds
        self._closed = False

    def begin(self, key: str, most: int) -> bool:
        """Begin a job of a function if fewer than `most` run and none waits. A job that began must `end`."""
        line = self._lines.setdefault(key, _Line())
        if line.waiting or line.running >= most:
            return False
        line.running += 1
        return True

    async def wait(self, key: str, on_begin: Callable[[], None]) -> bool:
        """Wait for a turn, in the order of asking. True when the job has begun, False when it is to be set aside.

        `on_begin` is called inside the `end` of the job that made way, so that nothing comes between the two.
        """
        line = self._lines[key]
        if self._closed or self._waiting >= _MOST_WAITING_IN_ALL or len(line.waiting) >= _MOST_WAITING:
            return False
        turn = _Turn(asyncio.get_running_loop().create_future(), on_begin)
        line.waiting.append(turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience_s):
                return await turn.come
        except TimeoutError:
            return _has_begun(turn.come)
        except asyncio.CancelledError:
            if _has_begun(turn.come):
                self.end(key)
            raise
        finally:
            self._waiting -= 1
            if turn in line.waiting:
                line.waiting.remove(turn)
            self._forget(key)

    def end(self, key: str) -> None:
        """End a job that began. The job that has waited longest begins in its place."""
        line = self._lines[key]
        while line.waiting:
            turn = line.waiting.popleft()
            if not turn.come.done():
                turn.begin()
                return
        line.running -= 1
        self._forget(key)

    def delay_s(self, key: str) -> float:
        """Choose how long a message of this function is left on the queue that is put back there now."""
        if self._closed:
            return 0.0
        now = time.monotonic()
        returns = self._returns.setdefault(key, [])
        while returns and returns[0] <= now:
            heapq.heappop(returns)
        delay_s = aside_delay_s(len(returns))
        heapq.heappush(returns, now + delay_s)
        return delay_s

    def close(self) -> None:
        """Send the jobs that wait back to the queue, and let no more wait."""
        self._closed = True
        for line in self._lines.values():
            for turn in line.waiting:
                if not turn.come.done():
                    turn.come.set_result(False)

    def _forget(self, key: str) -> None:
        line = self._lines.get(key)
        if line is not None and not line.running and not line.waiting:
            del self._lines[key]


def aside_delay_s(others: int) -> float:
    """Choose the delay of a message that is put back while `others` of its function are on their way. Pure.

    They come back one after another, about ten a second, however many they are.
    """
    return min(_MOST_DELAY_S, _FIRST_DELAY_S + others / _RETURNS_PER_S)


def _has_begun(turn: "asyncio.Future[bool]") -> bool:
    return turn.done() and not turn.cancelled() and turn.result()
