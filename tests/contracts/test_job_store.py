"""What every JobStore promises; each adapter passes all of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis

from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError
from nanogrid.jobs import ClaimOutcome, JobFilter, JobStore, LeaseLostError, open_jobs
from nanogrid.v1.resources_pb2 import Dialect, ExecutorInfo, Job, JobError, JobState, OutputFile

LEASE_S = 30.0


@pytest.fixture(params=["redis"])
async def jobs(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[JobStore]:
    async with open_jobs({"redis": redis_url}[request.param]) as store:
        yield store


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


async def test_a_created_job_reads_back_pending(jobs: JobStore) -> None:
    job = a_job()

    await jobs.create(job, b"message")

    assert await jobs.get(job.job_id) == job


async def test_an_unknown_job_is_not_found(jobs: JobStore) -> None:
    with pytest.raises(NotFoundError, match="job-none"):
        await jobs.get("job-none")


async def test_a_job_is_created_once(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    with pytest.raises(ConflictError):
        await jobs.create(job, b"")


async def test_a_job_whose_message_was_not_sent_is_listed_with_it(jobs: JobStore) -> None:
    sent, unsent = a_job(), a_job()
    await jobs.create(sent, b"one")
    await jobs.create(unsent, b"two")

    await jobs.sent([sent.job_id])

    assert await jobs.unsent(older_than_s=-5, limit=10) == [(unsent.job_id, b"two")]
    assert await jobs.unsent(older_than_s=60, limit=10) == []


async def test_a_claimed_job_needs_no_message_any_more(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"one")

    await jobs.claim(by("e1", job), LEASE_S)

    assert await jobs.unsent(older_than_s=-5, limit=10) == []


async def test_a_claim_makes_the_job_processing_and_names_its_executor(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    claim = await jobs.claim(by("e1", job), LEASE_S)

    found = await jobs.get(job.job_id)
    assert (claim.outcome, claim.attempt) == (ClaimOutcome.OWNED, 1)
    assert (found.state, found.executor_address, found.attempt) == (JobState.JOB_STATE_PROCESSING, "e1:50054", 1)
    assert found.started_at.seconds > 0


async def test_two_executors_never_own_a_job_at_once(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    claims = await asyncio.gather(*(jobs.claim(by(f"e{number}", job), LEASE_S) for number in range(20)))

    assert sorted(claim.outcome.value for claim in claims) == ["busy"] * 19 + ["owned"]


async def test_a_lease_that_ran_out_goes_to_the_next_and_fences_the_old_owner(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    old = await jobs.claim(by("e1", job), lease_s=0)

    new = await jobs.claim(by("e2", job), LEASE_S)

    assert (new.outcome, new.attempt) == (ClaimOutcome.OWNED, 2)
    assert new.token > old.token
    for stale in (
        jobs.renew(job.job_id, old.token, LEASE_S),
        jobs.hand_back(job.job_id, old.token, count_try=True),
        jobs.finish(done(job), old.token),
    ):
        with pytest.raises(LeaseLostError):
            await stale
    await jobs.finish(done(job, stdout="from e2"), new.token)
    assert (await jobs.get(job.job_id)).stdout == "from e2"


async def test_a_renewed_lease_holds(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), lease_s=0)

    await jobs.renew(job.job_id, claim.token, LEASE_S)

    assert (await jobs.claim(by("e2", job), LEASE_S)).outcome is ClaimOutcome.BUSY


async def test_a_finished_job_is_never_claimed_again(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await jobs.finish(done(job), claim.token)

    assert (await jobs.claim(by("e2", job), LEASE_S)).outcome is ClaimOutcome.FINISHED


async def test_finishing_twice_with_the_same_token_is_no_error(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)

    await jobs.finish(done(job), claim.token)
    await jobs.finish(done(job), claim.token)

    assert (await jobs.get(job.job_id)).state == JobState.JOB_STATE_SUCCESS


async def test_a_handed_back_job_is_pending_and_its_try_counts_only_if_said(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    first = await jobs.claim(by("e1", job), LEASE_S)
    await jobs.hand_back(job.job_id, first.token, count_try=False)
    assert (await jobs.get(job.job_id)).state == JobState.JOB_STATE_PENDING

    second = await jobs.claim(by("e2", job), LEASE_S)
    await jobs.hand_back(job.job_id, second.token, count_try=True)
    third = await jobs.claim(by("e3", job), LEASE_S)
    assert (second.attempt, third.attempt) == (1, 2)


async def test_a_job_without_a_record_is_rebuilt_by_its_claim(jobs: JobStore) -> None:
    job = a_job()

    claim = await jobs.claim(by("e1", job), LEASE_S)

    assert claim.outcome is ClaimOutcome.OWNED
    assert (await jobs.get(job.job_id)).owner == "alice"


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

    await jobs.finish(finished, claim.token)

    assert await jobs.get(job.job_id) == finished


async def test_a_failed_job_keeps_its_error(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    failed = done(job, error=JobError(type="HandlerError", message="no", stack="line 1"))
    failed.state, failed.result = JobState.JOB_STATE_FAILED, b""

    await jobs.finish(failed, claim.token)

    found = await jobs.get(job.job_id)
    assert (found.state, found.error, found.result) == (JobState.JOB_STATE_FAILED, failed.error, b"")


async def test_a_waiter_gets_the_result_that_is_published(jobs: JobStore) -> None:
    job = a_job()
    async with jobs.waiting(job.job_id) as waiter:
        await jobs.create(job, b"")
        claim = await jobs.claim(by("e1", job), LEASE_S)
        waiting = asyncio.create_task(waiter.wait(10))

        await jobs.finish(done(job), claim.token)

        found = await waiting
    assert found is not None
    assert found.result == b'{"a":1}'


async def test_the_result_is_published_on_a_channel_of_the_jobs_own(jobs: JobStore, redis_url: str) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    async with Redis.from_url(redis_url) as client, client.pubsub() as channel:
        await channel.subscribe(f"result:{job.job_id}")
        await channel.get_message(timeout=5)

        await jobs.finish(done(job), claim.token)

        message = await channel.get_message(timeout=5)
    assert orjson.loads(message["data"])["status"] == "SUCCESS"


async def test_a_result_from_before_the_wait_is_not_missed(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await jobs.finish(done(job), claim.token)

    async with jobs.waiting(job.job_id) as waiter:
        found = await waiter.wait(10)

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


async def test_a_foreign_page_token_is_refused(jobs: JobStore) -> None:
    with pytest.raises(InvalidFieldError, match="page_token"):
        await jobs.page(JobFilter(), 10, "nonsense")


async def test_a_retired_function_takes_no_more_jobs_and_is_done_after_its_last(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    await jobs.retire_function("f1")

    with pytest.raises(NotFoundError, match="f1"):
        await jobs.create(a_job(), b"")
    assert await jobs.retired_and_done() == []
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await jobs.finish(done(job), claim.token)
    assert await jobs.retired_and_done() == ["f1"]
    await jobs.forget_retired("f1")
    assert await jobs.retired_and_done() == []


async def test_executors_are_listed_until_they_withdraw(jobs: JobStore) -> None:
    info = ExecutorInfo(executor_id="e1", address="e1:1", runtimes=["python3.11"], slots=8, free_slots=8)
    await jobs.announce(ExecutorInfo(executor_id="e2"))
    await jobs.announce(info)

    assert [one.executor_id for one in await jobs.executors()] == ["e1", "e2"]
    await jobs.withdraw("e2")
    assert await jobs.executors() == [info]
