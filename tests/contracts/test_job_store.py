"""What every JobStore promises; each adapter passes all of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis

from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError
from nanogrid.jobs import Asked, ClaimOutcome, JobFilter, JobStore, LeaseLostError, Question, open_jobs, record
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


async def flush(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        await client.flushall()


async def finish(jobs: JobStore, job: Job, token: int) -> None:
    await jobs.finish(job, token, record.encode(job))


async def test_a_created_job_reads_back_pending(jobs: JobStore) -> None:
    job = a_job()

    await jobs.create(job, b"message")

    assert await jobs.get(job.job_id) == job


async def test_an_unknown_job_is_not_found(jobs: JobStore) -> None:
    with pytest.raises(NotFoundError, match="job-none"):
        await jobs.get("job-none")


async def test_a_job_is_created_once(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"one")

    with pytest.raises(ConflictError):
        await jobs.create(job, b"two")


async def test_creating_again_after_a_lost_answer_is_no_conflict(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"same")

    assert await jobs.create(job, b"same") is None

    found, _ = await jobs.page(JobFilter(), 10, "")
    assert len(found) == 1


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
        jobs.renew(job, old.token, LEASE_S),
        jobs.hand_back(job.job_id, old.token, count_try=True),
        finish(jobs, done(job), old.token),
    ):
        with pytest.raises(LeaseLostError):
            await stale
    await finish(jobs, done(job, stdout="from e2"), new.token)
    assert (await jobs.get(job.job_id)).stdout == "from e2"


async def test_a_renewed_lease_holds(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), lease_s=0)

    await jobs.renew(job, claim.token, LEASE_S)

    assert (await jobs.claim(by("e2", job), LEASE_S)).outcome is ClaimOutcome.BUSY


async def test_a_finished_job_is_never_claimed_again(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await finish(jobs, done(job), claim.token)

    assert (await jobs.claim(by("e2", job), LEASE_S)).outcome is ClaimOutcome.FINISHED


async def test_finishing_twice_with_the_same_token_is_no_error(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)

    await finish(jobs, done(job), claim.token)
    await finish(jobs, done(job), claim.token)

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
        waiting = asyncio.create_task(waiter.wait(10))

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
        await channel.get_message(timeout=5)

        await finish(jobs, done(job), claim.token)

        message = await channel.get_message(timeout=5)
    assert orjson.loads(message["data"])["status"] == "SUCCESS"


async def test_a_result_from_before_the_wait_is_not_missed(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await finish(jobs, done(job), claim.token)

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


async def test_a_question_asked_twice_makes_one_job(jobs: JobStore) -> None:
    first, again, other = a_job(), a_job(), a_job()
    question = Question("q1", "print")

    assert await jobs.create(first, b"1", question) is None
    assert await jobs.create(again, b"2", Question("q1", "another")) == Asked("print", first.job_id, answered=False)
    await jobs.answered(question)
    assert await jobs.create(again, b"2", question) == Asked("print", first.job_id, answered=True)
    assert await jobs.create(other, b"3", Question("q2", "print")) is None

    found, _ = await jobs.page(JobFilter(), 10, "")
    assert {job.job_id for job in found} == {first.job_id, other.job_id}


async def test_of_one_question_asked_many_times_at_once_one_makes_a_job(jobs: JobStore) -> None:
    answers = await asyncio.gather(
        *(jobs.create(a_job(), b"%d" % number, Question("q", "same")) for number in range(20))
    )

    assert answers.count(None) == 1
    assert len({asked.job_id for asked in answers if asked}) == 1


async def test_a_withdrawn_job_is_gone_unless_it_may_have_begun(jobs: JobStore) -> None:
    doubtful, queued = a_job(), a_job()
    await jobs.create(doubtful, b"1")
    await jobs.create(queued, b"2")
    await jobs.sent([queued.job_id])

    for job in (doubtful, queued):
        await jobs.withdraw_job(job.job_id)

    with pytest.raises(NotFoundError):
        await jobs.get(doubtful.job_id)
    assert (await jobs.get(queued.job_id)).state == JobState.JOB_STATE_PENDING
    assert await jobs.unsent(older_than_s=-5, limit=10) == []
    await jobs.retire_function("f1")
    assert await jobs.retired_and_done() == []


async def test_a_record_that_was_lost_is_rebuilt_by_its_owners_heartbeat(jobs: JobStore, redis_url: str) -> None:
    job = by("e1", a_job(attempt=2))
    await jobs.create(job, b"")
    claim = await jobs.claim(job, LEASE_S)
    await flush(redis_url)

    await jobs.renew(job, claim.token, LEASE_S)

    found = await jobs.get(job.job_id)
    assert (found.state, found.executor_id, found.owner, found.attempt) == (
        JobState.JOB_STATE_PROCESSING,
        "e1",
        "alice",
        2,
    )
    assert (await jobs.claim(by("e2", job), LEASE_S)).outcome is ClaimOutcome.BUSY
    await finish(jobs, done(job), claim.token)


async def test_an_owner_whose_record_was_lost_finishes_all_the_same(jobs: JobStore, redis_url: str) -> None:
    job = a_job()
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await flush(redis_url)

    await finish(jobs, done(job), claim.token)

    assert (await jobs.get(job.job_id)).state == JobState.JOB_STATE_SUCCESS
    assert [one.job_id for one in (await jobs.page(JobFilter(), 10, ""))[0]] == [job.job_id]


async def test_a_lost_record_leaves_its_owner_time_to_speak_before_another_takes_the_job(
    jobs: JobStore, redis_url: str
) -> None:
    job = a_job()
    old = await jobs.claim(by("e1", job), LEASE_S)
    await flush(redis_url)

    first = await jobs.claim(by("e2", job), LEASE_S, received_before=True)
    second = await jobs.claim(by("e2", job), LEASE_S, received_before=True)

    assert (first.outcome, second.outcome) == (ClaimOutcome.BUSY, ClaimOutcome.OWNED)
    assert second.token > old.token
    with pytest.raises(LeaseLostError):
        await finish(jobs, done(job), old.token)


async def test_between_two_receivers_of_a_lost_record_the_living_owner_wins(jobs: JobStore, redis_url: str) -> None:
    job = a_job()
    old = await jobs.claim(by("e1", job), LEASE_S)
    await flush(redis_url)
    await jobs.claim(by("e2", job), LEASE_S, received_before=True)

    await finish(jobs, done(job, stdout="from e1"), old.token)

    assert (await jobs.claim(by("e2", job), LEASE_S)).outcome is ClaimOutcome.FINISHED
    assert (await jobs.get(job.job_id)).stdout == "from e1"


async def test_a_claim_says_when_the_record_had_to_be_rebuilt(jobs: JobStore) -> None:
    known, unknown = a_job(), a_job()
    await jobs.create(known, b"")

    assert not (await jobs.claim(by("e1", known), LEASE_S)).rebuilt
    assert (await jobs.claim(by("e1", unknown), LEASE_S)).rebuilt


async def test_a_durable_result_is_recorded_whoever_owns_the_job(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    claim = await jobs.claim(by("e2", job), LEASE_S)
    earlier = done(job, stdout="from e1")

    async with jobs.waiting(job.job_id) as waiter:
        await jobs.adopt(earlier, record.encode(earlier))
        waited = await waiter.wait(10)

    assert waited is not None
    assert waited.stdout == (await jobs.get(job.job_id)).stdout == "from e1"
    with pytest.raises(LeaseLostError):
        await jobs.renew(by("e2", job), claim.token, LEASE_S)


async def test_a_revived_job_is_pending_with_all_its_tries_and_fences_its_last_owner(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")
    old = await jobs.claim(by("e1", job), LEASE_S)
    assert not await jobs.revive(job)
    failed = done(job)
    failed.state = JobState.JOB_STATE_FAILED
    await finish(jobs, failed, old.token)

    assert await jobs.revive(job)

    found = await jobs.get(job.job_id)
    assert (found.state, found.attempt) == (JobState.JOB_STATE_PENDING, 0)
    claim = await jobs.claim(by("e2", job), LEASE_S)
    assert (claim.attempt, claim.token > old.token) == (1, True)
    with pytest.raises(LeaseLostError):
        await finish(jobs, failed, old.token)
    await finish(jobs, done(job), claim.token)
    assert [one.job_id for one in (await jobs.page(JobFilter(), 10, ""))[0]] == [job.job_id]


async def test_a_stub_keeps_everything_but_what_lies_in_artifacts(jobs: JobStore) -> None:
    job = a_job()
    claim = await jobs.claim(by("e1", job), LEASE_S)
    big = done(job, stdout="x" * 1000, peak_memory_bytes=5)

    await jobs.finish(big, claim.token, record.stub(big))

    found = await jobs.get(job.job_id)
    assert (found.kept_in_artifacts, found.stdout, found.peak_memory_bytes) == (True, "", 5)


async def test_a_retired_function_takes_no_more_jobs_and_is_done_after_its_last(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    await jobs.retire_function("f1")

    with pytest.raises(NotFoundError, match="f1"):
        await jobs.create(a_job(), b"")
    assert await jobs.retired_and_done() == []
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await finish(jobs, done(job), claim.token)
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
