"""Waits for backends that are down: tries a step until it succeeds, or goes on for ever in spite of outages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nanogrid.errors import NanoGridError, UnavailableError
from nanogrid.logs import logger

__all__ = ["repeat", "until_available"]

log = logger()

Result = TypeVar("Result")


async def until_available(step: Callable[[], Awaitable[Result]], waiting: str, *, pause_s: float = 0.5) -> Result:
    """Try `step` until it raises no UnavailableError, `pause_s` apart, and log `waiting` meanwhile.

    Other errors pass.
    """
    while True:
        try:
            return await step()
        except UnavailableError as error:
            log.warning(waiting, error=error.message)
        await asyncio.sleep(pause_s)


async def repeat(step: Callable[[], Awaitable[object]], every_s: float, postponed: str) -> None:
    """Run `step` for ever, `every_s` apart. A NanoGridError only postpones it, and is logged as `postponed`."""
    while True:
        try:
            await step()
        except NanoGridError as error:
            log.warning(postponed, error=error.message)
        await asyncio.sleep(every_s)
