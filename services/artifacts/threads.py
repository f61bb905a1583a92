"""Blocking work in threads that are never left behind."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def finish(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run `work` in a thread. A caller that is cancelled waits for its end first.

    A thread cannot be stopped, and one that goes on alone would write files after they have been cleaned away, or to a
    descriptor that is by then another file's.
    """
    return await to_the_end(asyncio.to_thread(work, *args, **kwargs))


async def finish_in(pool: Executor, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run `finish` in a pool of its own, so that slow work there does not hold up other callers."""
    call = partial(copy_context().run, work, *args, **kwargs)
    return await to_the_end(asyncio.get_running_loop().run_in_executor(pool, call))


async def to_the_end(work: Awaitable[Result]) -> Result:
    """Return its result. A caller that is cancelled waits for its end first."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):  # asked again: the answer is still "after this"
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # nobody else will look at it
        raise
