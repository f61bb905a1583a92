"""Waits for conditions instead of times."""

import asyncio
import inspect
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Return as soon as the condition holds, and fail when it does not in time. It may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while not (await answer if inspect.isawaitable(answer := condition()) else answer):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Do the same as `until`, blocking, for tests of other processes."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
