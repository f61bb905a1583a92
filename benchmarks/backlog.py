"""A long queue: jobs recorded and queued by the thousands through the ports that invokers use, and how fast they go."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis import Redis

from benchmarks.arms import EVENT
from benchmarks.grid import Grid
from benchmarks.processes import wait_until
from nanogrid.jobs import JobStore, open_jobs
from nanogrid.jobs.message import Message, encode
from nanogrid.queue import TaskQueue, open_queue
from nanogrid.v1.resources_pb2 import Dialect, Function, Job, JobState

Seen = tuple[float, int]  # at this time, in seconds, so many jobs were left

PIECES = 10
_AT_ONCE = 500  # submissions that travel together
_SPARE = 50  # a fiftieth more than asked for: what is executed while the rest is being queued
LOOK_S = 0.05
_PAYLOAD = json.dumps(EVENT).encode()


class Backlog:
    """Jobs of one function, which nobody waits for, in a grid whose queue and job store are its own Redis."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._function = grid.function(grid.new())

    def fill(self, depth: int) -> None:
        """Queue jobs until at least so many wait at once, and Redis is not rewriting its file because of them."""
        asyncio.run(self._fill(depth))

    def drained(self, most_s: float = 60.0) -> list[float]:
        """Wait until no job is left, or for so long; jobs/s of every tenth of them that went."""
        return rates(asyncio.run(self._watch(most_s)), PIECES)

    def forget(self) -> None:
        """Empty the grid's Redis, as if there had never been a job; waits until its executor is known again."""
        with Redis.from_url(self._grid.redis_url) as redis:
            redis.flushdb()
        wait_until(lambda: bool(self._grid.executors()), "the executor says again that it is there")

    async def _fill(self, depth: int) -> None:
        async with self._opened() as (queue, jobs):
            while (lacking := depth - (await queue.depth()).waiting) > 0:
                lacking += depth // _SPARE
                for begin in range(0, lacking, _AT_ONCE):
                    await self._submit(queue, jobs, min(_AT_ONCE, lacking - begin))
                await asyncio.to_thread(self._wait_for_rewrite)

    async def _submit(self, queue: TaskQueue, jobs: JobStore, count: int) -> None:
        """What an invoker does for an asynchronous call, in its order: recorded, queued, noted as queued."""
        tasks = [_task(self._function) for _ in range(count)]
        messages = [encode(task) for task in tasks]
        await asyncio.gather(*(jobs.create(task.job, said) for task, said in zip(tasks, messages, strict=True)))
        await asyncio.gather(*(queue.send(said) for said in messages))
        await jobs.sent([task.job.job_id for task in tasks])

    async def _watch(self, most_s: float) -> list[Seen]:
        seen: list[Seen] = []
        end = time.perf_counter() + most_s
        async with self._opened() as (queue, _):
            while time.perf_counter() < end and (not seen or seen[-1][1]):
                depth = await queue.depth()
                seen.append((time.perf_counter(), depth.waiting + depth.in_flight + depth.delayed))
                await asyncio.sleep(LOOK_S)
        return seen

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[TaskQueue, JobStore]]:
        url = self._grid.redis_url
        async with open_queue(url, "benchmark") as queue, open_jobs(url) as jobs:
            yield queue, jobs

    def _wait_for_rewrite(self) -> None:
        with Redis.from_url(self._grid.redis_url) as redis:
            wait_until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], "Redis has rewritten its file")


def rates(seen: Sequence[Seen], pieces: int) -> list[float]:
    """How many went per second, of every such part of them. Time begins when the first is about to go."""
    whole = seen[0][1]
    began, left = max(one for one in seen if one[1] == whole)
    found = []
    for at, now_left in seen:
        if now_left < left and (left - now_left >= whole / pieces or not now_left):
            found.append((left - now_left) / (at - began))
            began, left = at, now_left
    return found


def _task(function: Function) -> Message:
    job = Job(
        job_id=f"job-{uuid.uuid4()}",
        function_id=function.function_id,
        owner=function.owner,
        state=JobState.JOB_STATE_PENDING,
        dialect=Dialect.DIALECT_STANDARD,
        runtime=function.runtime,
        memory_mb=function.memory_mb,
        s3_key=function.s3_key,
        code_sha256=function.code_sha256,
    )
    job.created_at.GetCurrentTime()
    return Message(job, function, _PAYLOAD)
