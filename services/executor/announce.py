"""Announcing this executor, so that its runtimes are offered and its address is known."""

import asyncio
from collections.abc import Callable

from nanogrid.errors import UnavailableError
from nanogrid.jobs import JobStore
from nanogrid.logs import logger
from nanogrid.v1.resources_pb2 import ExecutorInfo

log = logger()

_EVERY_S = 4.0  # three announcements fit into the time after which an executor counts as gone


async def announce(jobs: JobStore, describe: Callable[[], ExecutorInfo]) -> None:
    """Announce for ever; an outage only postpones."""
    while True:
        try:
            await jobs.announce(describe())
        except UnavailableError as error:
            log.warning("not announced", error=error.message)
        await asyncio.sleep(_EVERY_S)


async def withdraw(jobs: JobStore, executor_id: str) -> None:
    """Say goodbye; without it the announcement runs out by itself."""
    try:
        await jobs.withdraw(executor_id)
    except UnavailableError as error:
        log.warning("not withdrawn", error=error.message)
