"""Builds jobs for the contract suite of job stores."""

import uuid

from redis.asyncio import Redis

from nanogrid.jobs import JobStore, record
from nanogrid.v1.resources_pb2 import Dialect, Job, JobState

LEASE_S = 30.0


def a_job(**fields: object) -> Job:
    job = Job(
        job_id=f"job-{uuid.uuid4()}",
        function_id="f1",
        owner="alice",
        state=JobState.JOB_STATE_PENDING,
        dialect=Dialect.DIALECT_STANDARD,
        runtime="python3.11",
        memory_mb=512,
    )
    job.created_at.GetCurrentTime()
    job.created_at.nanos -= job.created_at.nanos % 1_000_000
    job.MergeFrom(Job(**fields))  # type: ignore[arg-type]
    return job


def by(executor: str, job: Job) -> Job:
    claimed = Job()
    claimed.CopyFrom(job)
    claimed.executor_id, claimed.executor_address = executor, f"{executor}:50054"
    return claimed


def done(job: Job, **fields: object) -> Job:
    finished = Job()
    finished.CopyFrom(job)
    finished.state = JobState.JOB_STATE_SUCCESS
    finished.result = b'{"a":1}'
    finished.ended_at.GetCurrentTime()
    finished.MergeFrom(Job(**fields))  # type: ignore[arg-type]
    return finished


async def flush(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        await client.flushall()


async def finish(jobs: JobStore, job: Job, token: int) -> None:
    await jobs.finish(job, token, record.encode(job))
