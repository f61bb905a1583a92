"""Sets up the executor's delivery rules on a real queue and a real job store, with fake sandboxes."""

import asyncio
import io
import math
import uuid
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nanogrid.bundle import BundleLimits
from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.jobs import JobStore, open_jobs
from nanogrid.jobs.message import Message, encode
from nanogrid.queue import Depth, TaskQueue, open_queue
from nanogrid.runtimes import Runtime, resolve
from nanogrid.v1.resources_pb2 import Dialect, ExecutorInfo, Function, Job, JobState, OutputFile
from services.executor.code.builds import Builds
from services.executor.code.cache import CodeCache
from services.executor.code.compiler import BuildLimits
from services.executor.delivery.by_hand import MessageCompleter
from services.executor.delivery.cancelling import RunningJobs
from services.executor.delivery.durable import ResultKeeper
from services.executor.delivery.ending import Ending
from services.executor.delivery.lease import Heartbeat, LeaseTimes
from services.executor.delivery.news import ResultNews
from services.executor.delivery.owner import JobOwner
from services.executor.delivery.poller import Poller
from services.executor.pool.pool import Pool, PoolLimits
from services.executor.pool.ready import Ready
from services.executor.run.job import JobRunner
from services.executor.run.memory_advice import MemoryAdvisor
from services.executor.run.output_files import OutputLimits
from services.executor.run.output_log import OutputLogs
from support.fake_sandboxes import FakeProvider
from support.kept import KeptResults, kept_results
from support.waiting import WATCHDOG_S, until

EMPTY = Depth(0, 0, 0, 0)


class Bundles:
    """Stands in for artifacts: one bundle for every key, or `error` instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.function: Function | None = None  # the registry's, where it knows one
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("main.py", "def handler(event, context): return 1")
        self._zip = packed.getvalue()
        self.stored: list[str] = []
        self.no_room = False  # storing outputs fails while set
        self.refused: list[str] = []

    async def fetch_bundle(self, s3_key: str) -> AsyncIterator[str | bytes]:
        if self.error is not None:
            raise self.error
        yield "0" * 64
        yield self._zip

    async def find(self, function_id: str) -> Function:
        if self.function is None:
            raise NotFoundError(function_id)
        return self.function

    async def store_build(self, key: str, content: AsyncIterator[bytes]) -> None:
        raise AssertionError("nothing is built here")

    async def store_output(self, job_id: str, path: str, content: AsyncIterator[bytes]) -> OutputFile:
        if self.no_room:
            self.refused.append(path)
            raise UnavailableError("artifacts cannot be reached")
        size = sum([len(chunk) async for chunk in content])
        self.stored.append(path)
        return OutputFile(key=f"outputs/{job_id}/{path}", size_bytes=size)

    async def sign_outputs(self, keys: Sequence[str]) -> list[str]:
        return [f"/{key}?signed" for key in keys]


class Peaks:
    """Stands for a sink of metrics."""

    def __init__(self) -> None:
        self.observed: list[int] = []

    def observe(self, function_id: str, runtime: str, peak_bytes: int) -> None:
        self.observed.append(peak_bytes)


@dataclass
class Rig:
    queue: TaskQueue
    jobs: JobStore
    provider: FakeProvider
    bundles: Bundles
    runner: JobOwner
    poller: Poller
    kept: KeptResults
    ending: Ending
    running: RunningJobs
    peaks: Peaks

    async def submit(
        self, payload: bytes = b'{"a":1}', *, sync: bool = False, camel: bool = False, **fields: object
    ) -> str:
        function = Function(function_id="f", owner="alice", runtime="python3.11", handler="main.handler", s3_key="k")
        function.MergeFrom(Function(memory_mb=128, **fields))  # type: ignore[arg-type]
        job = Job(job_id=f"job-{uuid.uuid4()}", owner="alice", state=JobState.JOB_STATE_PENDING)
        job.function_id = function.function_id
        job.created_at.GetCurrentTime()
        job.dialect = Dialect.DIALECT_CAMEL if camel else Dialect.DIALECT_STANDARD
        message = encode(Message(job, function, payload))
        await self.jobs.create(job, message)
        await self.queue.send(message, sync=sync)
        return job.job_id

    def a_message(self, job: Job) -> Message:
        """Return the message that the invoker would queue for a job of the rig's function."""
        function = Function(function_id="f", owner=job.owner, runtime="python3.11", handler="main.handler", s3_key="k")
        return Message(job, function, b"{}")

    async def ended(self, job_id: str) -> Job:
        async with self.jobs.waiting(job_id) as waiter:
            job = await waiter.wait(WATCHDOG_S)
        assert job is not None, "the job did not end"
        return job

    async def settled(self, depth: Depth) -> None:
        async def is_settled() -> bool:
            return await self.queue.depth() == depth

        await until(is_settled, f"the queue did not come to {depth}")


@asynccontextmanager
async def open_rig(
    folder: Path, jobs_url: str, queue_url: str, *, visibility_s: float = 60, hold_s: float = math.inf
) -> AsyncIterator[Rig]:
    """Run an executor's rules on these servers. `hold_s` is the longest time the queue lets a message be held."""
    (folder / "sandboxes").mkdir()
    provider, bundles, peaks = FakeProvider(folder / "sandboxes"), Bundles(), Peaks()
    async with (
        open_jobs(jobs_url) as jobs,
        open_queue(queue_url, "executor", visibility_s=visibility_s) as queue,
        kept_results(folder / "kept") as kept,
    ):
        queue.hold_s = hold_s
        pool = Pool(provider, Ready(provider, least={}, most=0, offered=tuple), PoolLimits(8, 60, 60))
        work = _work(folder, pool, provider, bundles, peaks)
        heartbeat = Heartbeat(jobs, queue, LeaseTimes(lease_s=0.6, visibility_s=visibility_s))
        ending = Ending(
            jobs, queue, heartbeat, ResultKeeper(kept), ResultNews(bundles, "http://grid.example/"), record_bytes=4096
        )
        who = ExecutorInfo(executor_id="e1", address="e1:1")
        completer = MessageCompleter(bundles.find, bundles, "nanogrid-code-bucket")
        running = RunningJobs(jobs)
        runner = JobOwner(
            work,
            jobs,
            queue,
            who,
            heartbeat=heartbeat,
            ending=ending,
            completer=completer,
            running=running,
            artifacts=kept,
        )
        loops = [asyncio.create_task(loop) for loop in (heartbeat.run(), running.watch())]
        poller = Poller(queue, runner, 4, wait_s=0.2)
        polling = asyncio.create_task(poller.run())
        yield Rig(queue, jobs, provider, bundles, runner, poller, kept, ending, running, peaks)
        poller.stop()
        await polling
        await poller.drain(0)
        await ending.close(0)
        for loop in loops:
            loop.cancel()
        await pool.close()


async def resolve_here(name: str) -> Runtime:
    return resolve(name, frozenset(["python3.11"]))


def _work(folder: Path, pool: Pool, provider: FakeProvider, bundles: Bundles, peaks: Peaks) -> JobRunner:
    code = CodeCache(folder / "code", 10_000_000, bundles.fetch_bundle, BundleLimits())
    return JobRunner(
        pool,
        code,
        MemoryAdvisor(),
        OutputLogs(folder / "live"),
        bundles,
        builds=Builds(provider, code, bundles, BuildLimits(), folder / "building"),
        resolve=resolve_here,
        limits=OutputLimits(),
        peaks=peaks,
    )


@pytest.fixture
async def runner_rig(redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, redis_url, redis_url) as rig:
        yield rig
