"""Waits for conditions. One watchdog bounds every wait, far above the time that a busy machine needs."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

WATCHDOG_S = (
    300.0  # a wait of seconds takes minutes on two processors with twenty other loads; only a hang takes longer
)


async def until(condition: Callable[[], Any], failure: object = "it did not happen") -> Any:
    """Return the first true answer of the condition, which may be a coroutine function.

    AssertionError with `failure` when the watchdog ends the wait. A callable is called for the message.
    """
    watchdog = _Watchdog(failure)
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        watchdog.check()
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], T], failure: object = "it did not happen") -> T:
    """Do the same as `until`, blocking, for tests of other processes."""
    watchdog = _Watchdog(failure)
    while not (answer := condition()):
        watchdog.check()
        time.sleep(0.02)
    return answer


async def watched(awaitable: Awaitable[T]) -> T:
    """Wait for a result under the watchdog. TimeoutError when it hangs."""
    return await asyncio.wait_for(awaitable, WATCHDOG_S)


class _Watchdog:
    def __init__(self, failure: object) -> None:
        self._failure = failure
        self._end = time.monotonic() + WATCHDOG_S

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise AssertionError(self._failure() if callable(self._failure) else self._failure)
