"""Sets up the invoker's rules on a real queue and a real job store that can be killed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid import caller
from nanogrid.caller import Caller
from nanogrid.errors import NotFoundError
from nanogrid.jobs import JobStore, open_jobs, record
from nanogrid.jobs.message import decode
from nanogrid.queue import Delivery, TaskQueue, open_queue
from nanogrid.v1.resources_pb2 import Dialect, Function, Job, JobState
from services.invoker.dead_letters import DeadLetters
from services.invoker.functions import Functions
from services.invoker.results import JobReader
from services.invoker.retirement import Retirement
from services.invoker.sent import SentJobs
from services.invoker.store_watch import StoreWatch
from services.invoker.submitter import FunctionCall, SubmitLimits, Submitter
from services.invoker.unsent import Sweeper
from support.kept import KeptResults, kept_results
from support.redis_server import RedisServer, redis_server

FUNCTION_ID = "3e7f5dd4-9c38-4b39-9f43-6c2a2ef21f35"
STANDARD = Dialect.DIALECT_STANDARD
ALICE, BOB = Caller("alice", internal=False, request_id="r"), Caller("bob", internal=False, request_id="r")


@dataclass
class Catalog:
    """Stands in for the registry: holds one function of alice, created at `made_s`, and counts reads."""

    asked: int = 0
    made_s: int = 0
    s3_key: str = "k"
    deleted: list[str] = field(default_factory=list)

    async def delete(self, function_id: str) -> None:
        self.deleted.append(function_id)

    async def read(self, function_id: str) -> Function:
        self.asked += 1
        if function_id != FUNCTION_ID:
            raise NotFoundError("unknown")
        return Function(
            function_id=FUNCTION_ID,
            owner="alice",
            runtime="python3.11",
            handler="a.b",
            s3_key=self.s3_key,
            timeout_s=0,
            created_at=Timestamp(seconds=self.made_s),
        )


@dataclass
class Code:
    """Stands in for artifacts: records deletions of code."""

    deleted: list[str] = field(default_factory=list)

    async def delete_code(self, function_id: str) -> None:
        self.deleted.append(function_id)


@dataclass
class Rig:
    server: RedisServer
    jobs: JobStore
    queue: TaskQueue
    catalog: Catalog
    code: Code
    submitter: Submitter
    sent: SentJobs
    sweeper: Sweeper
    kept: KeptResults
    results: JobReader
    letters: DeadLetters
    retirement: Retirement

    async def submit(self, payload: bytes = b'{"a":1}', function_id: str = FUNCTION_ID, key: str = "") -> Job:
        return await self.submitter.submit(FunctionCall(function_id, payload, STANDARD, key))

    async def invoke(self, payload: bytes = b"{}", wait_s: float = 0, key: str = "") -> Job:
        return await self.submitter.invoke(FunctionCall(FUNCTION_ID, payload, STANDARD, key), wait_s)

    async def repeat(self, job_id: str, wait_s: float | None = None) -> Job:
        """Repeat a call under this id, as a gateway does after a lost connection."""
        call = FunctionCall(FUNCTION_ID, b"{}", STANDARD, "", job_id)
        return await (self.submitter.submit(call) if wait_s is None else self.submitter.invoke(call, wait_s))

    async def run_one(self, result: bytes) -> None:
        """Receive one job and finish it with this result, as an executor does."""
        [delivery] = await self.queue.receive(1, 10)
        await self.finish(delivery, result)

    async def finish(self, delivery: Delivery, result: bytes) -> None:
        """Finish a received job with this result, as an executor does."""
        job = decode(delivery.body).job
        claim = await self.jobs.claim(job, 60)
        job.state, job.result = JobState.JOB_STATE_SUCCESS, result
        await self.jobs.finish(job, claim.token, record.encode(job))
        await self.queue.delete(delivery)


async def _all_is_well() -> None:
    """Report a usable store."""


@pytest.fixture
async def invoker_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with redis_server(tmp_path) as server:
        async with (
            open_jobs(server.url) as jobs,
            open_queue(server.url, "test") as queue,
            kept_results(tmp_path / "kept") as kept,
        ):
            catalog, code = Catalog(), Code()
            functions = Functions(catalog.read, ttl_s=30)
            sent = SentJobs(jobs)
            results = JobReader(jobs, kept)
            submitter = Submitter(
                functions,
                jobs,
                queue,
                sent=sent,
                results=results,
                artifacts=kept,
                watch=StoreWatch(_all_is_well, 60),
                limits=SubmitLimits(wait_s=20, payload_bytes=3000, message_bytes=1500),
            )
            retirement = Retirement(catalog.read, catalog.delete, jobs, functions)
            sweeper = Sweeper(jobs, queue, code, retirement, unsent_s=-5)  # type: ignore[arg-type]
            letters = DeadLetters(queue, jobs, kept)
            caller.set_caller(ALICE)
            yield Rig(server, jobs, queue, catalog, code, submitter, sent, sweeper, kept, results, letters, retirement)
