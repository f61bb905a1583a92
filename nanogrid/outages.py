"""Retries steps while a backend is down, once until they succeed or periodically for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nanogrid.errors import NanoGridError, UnavailableError
from nanogrid.logs import logger

__all__ = ["repeat", "until_available"]

log = logger()

Result = TypeVar("Result")


async def until_available(step: Callable[[], Awaitable[Result]], waiting: str, *, pause_s: float = 0.5) -> Result:
    """Run `step` until it raises no UnavailableError, every `pause_s`, and log `waiting` meanwhile.

    Other errors pass through.
    """
    while True:
        try:
            return await step()
        except UnavailableError as error:
            log.warning(waiting, error=error.message)
        await asyncio.sleep(pause_s)


async def repeat(step: Callable[[], Awaitable[object]], every_s: float, postponed: str) -> None:
    """Run `step` for ever, every `every_s`. A NanoGridError is logged as `postponed` and skips one round."""
    while True:
        try:
            await step()
        except NanoGridError as error:
            log.warning(postponed, error=error.message)
        await asyncio.sleep(every_s)
