"""What every JobStore promises those who read, list and wait."""

import asyncio

import orjson
import pytest
from redis.asyncio import Redis

from nanogrid.errors import InvalidFieldError
from nanogrid.jobs import JobFilter, JobStore, record
from nanogrid.v1.resources_pb2 import Dialect, JobError, JobState, OutputFile
from support.jobs import LEASE_S, a_job, by, done, finish
from support.waiting import WATCHDOG_S


async def test_every_field_of_a_finished_job_survives(jobs: JobStore) -> None:
    job = a_job(dialect=Dialect.DIALECT_CAMEL)
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    finished = done(
        job,
        attempt=1,
        executor_id="e1",
        executor_address="e1:50054",
        result='{"body":"안녕","n":[1,2.5,null,true]}'.encode(),
        output_files=[OutputFile(key=f"outputs/{job.job_id}/a b.png", size_bytes=3)],
        exit_code=0,
        stdout="out\n",
        stderr="err\n",
        peak_memory_bytes=9_000_000,
        optimization_tip="less",
        execution_time_ms=1.5,
        cold_start=True,
        recommended_memory_mb=64,
        estimated_saving_percent=87,
        advice_calls=3,
        runtime_memory_bytes=6_000_000,
    )
    finished.ended_at.nanos = 5_000_000

    await finish(jobs, finished, claim.token)

    assert await jobs.get(job.job_id) == finished


async def test_a_failed_job_keeps_its_error(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    failed = done(job, error=JobError(type="HandlerError", message="no", stack="line 1"))
    failed.state, failed.result = JobState.JOB_STATE_FAILED, b""

    await finish(jobs, failed, claim.token)

    found = await jobs.get(job.job_id)
    assert (found.state, found.error, found.result) == (JobState.JOB_STATE_FAILED, failed.error, b"")


async def test_a_waiter_gets_the_result_that_is_published(jobs: JobStore) -> None:
    job = a_job()
    async with jobs.waiting(job.job_id) as waiter:
        await jobs.create(job, b"")
        claim = await jobs.claim(by("e1", job), LEASE_S)
        waiting = asyncio.create_task(waiter.wait(WATCHDOG_S))

        await finish(jobs, done(job), claim.token)

        found = await waiting
    assert found is not None
    assert found.result == b'{"a":1}'


async def test_the_result_is_published_on_a_channel_of_the_jobs_own(jobs: JobStore, redis_url: str) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    async with Redis.from_url(redis_url) as client, client.pubsub() as channel:
        await channel.subscribe(f"result:{job.job_id}")
        await channel.get_message(timeout=WATCHDOG_S)

        await finish(jobs, done(job), claim.token)

        message = await channel.get_message(timeout=WATCHDOG_S)
    assert orjson.loads(message["data"])["status"] == "completed"


async def test_a_result_from_before_the_wait_is_not_missed(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await finish(jobs, done(job), claim.token)

    async with jobs.waiting(job.job_id) as waiter:
        found = await waiter.wait(WATCHDOG_S)

    assert found is not None


async def test_a_wait_ends_with_its_time(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    async with jobs.waiting(job.job_id) as waiter:
        assert await waiter.wait(0.05) is None


async def test_jobs_are_listed_newest_first_by_owner_function_and_state(jobs: JobStore) -> None:
    mine = [a_job() for _ in range(5)]
    for age, job in enumerate(mine):
        job.created_at.seconds += age
        await jobs.create(job, b"")
    await jobs.create(a_job(owner="bob"), b"")
    other = a_job(function_id="f2")
    await jobs.create(other, b"")

    first, token = await jobs.page(JobFilter(owner="alice", function_id="f1"), 3, "")
    second, end = await jobs.page(JobFilter(owner="alice", function_id="f1"), 3, token)

    assert [job.job_id for job in first + second] == [job.job_id for job in reversed(mine)]
    assert end == ""
    running, _ = await jobs.page(JobFilter(owner="alice", state=JobState.JOB_STATE_PROCESSING), 10, "")
    assert running == []
    everyone, _ = await jobs.page(JobFilter(), 100, "")
    assert len(everyone) == 7


async def test_jobs_of_one_instant_page_without_loss_or_repetition(jobs: JobStore) -> None:
    born = a_job().created_at
    ids = set()
    for _ in range(7):
        job = a_job()
        job.created_at.CopyFrom(born)
        ids.add(job.job_id)
        await jobs.create(job, b"")

    seen: list[str] = []
    token = ""
    for _ in range(20):
        found, token = await jobs.page(JobFilter(owner="alice"), 2, token)
        seen += [job.job_id for job in found]
        if not token:
            break

    assert sorted(seen) == sorted(ids)


async def test_a_rare_state_is_found_however_many_jobs_there_are(jobs: JobStore) -> None:
    born = a_job().created_at.ToMilliseconds()
    rare = a_job()
    rare.created_at.FromMilliseconds(born - 10_000)
    await jobs.create(rare, b"")
    await jobs.claim(by("e1", rare), LEASE_S)
    for number in range(650):
        job = a_job()
        job.created_at.FromMilliseconds(born + number // 300)  # many of one instant
        await jobs.create(job, b"")

    seen: list[str] = []
    token = ""
    for _ in range(20):
        found, token = await jobs.page(JobFilter(owner="alice", state=JobState.JOB_STATE_PROCESSING), 10, token)
        seen += [job.job_id for job in found]
        if not token:
            break

    assert seen == [rare.job_id]


async def test_a_foreign_page_token_is_refused(jobs: JobStore) -> None:
    with pytest.raises(InvalidFieldError, match="page_token"):
        await jobs.page(JobFilter(), 10, "nonsense")


async def test_a_stub_keeps_everything_but_what_lies_in_artifacts(jobs: JobStore) -> None:
    job = a_job()
    claim = await jobs.claim(by("e1", job), LEASE_S)
    big = done(job, stdout="x" * 1000, peak_memory_bytes=5)

    await jobs.finish(big, claim.token, record.encode_stub(big))

    found = await jobs.get(job.job_id)
    assert (found.kept_in_artifacts, found.stdout, found.peak_memory_bytes) == (True, "", 5)
