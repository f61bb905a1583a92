"""Blocking work in threads that are never left behind."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def finish(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run `work` in a thread. A caller that is cancelled waits for its end first.

    A thread cannot be stopped, and one that goes on alone would write files after they have been cleaned away, or to a
    descriptor that is by then another file's.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):  # asked again: the answer is still "after this"
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # nobody else will look at it
        raise
