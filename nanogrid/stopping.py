"""Waits for the signal that stops a process."""

import asyncio
import signal

from nanogrid.logs import logger

log = logger()


async def until_stopped() -> signal.Signals:
    """Wait for the first SIGTERM or SIGINT and return it."""
    stopped: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.put_nowait, number)
    by = await stopped.get()
    log.info("stopping", signal=by.name)
    return by
