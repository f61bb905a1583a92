"""What every JobStore promises; each adapter passes all of it."""

import asyncio
import hashlib

import pytest

from nanogrid.errors import ConflictError, NotFoundError
from nanogrid.jobs import ClaimOutcome, EarlierCall, IdempotencyKey, JobFilter, JobStore, LeaseLostError
from nanogrid.v1.resources_pb2 import ExecutorInfo, JobState
from support.jobs import LEASE_S, a_job, by, done, finish


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


async def test_a_question_asked_twice_makes_one_job(jobs: JobStore) -> None:
    first, again, other = a_job(), a_job(), a_job()
    question = IdempotencyKey("q1", "print")

    assert await jobs.create(first, b"1", question) is None
    assert await jobs.create(again, b"2", IdempotencyKey("q1", "another")) == EarlierCall(
        "print", first.job_id, answered=False
    )
    await jobs.answered(question)
    assert await jobs.create(again, b"2", question) == EarlierCall("print", first.job_id, answered=True)
    assert await jobs.create(other, b"3", IdempotencyKey("q2", "print")) is None

    found, _ = await jobs.page(JobFilter(), 10, "")
    assert {job.job_id for job in found} == {first.job_id, other.job_id}


async def test_of_one_question_asked_many_times_at_once_one_makes_a_job(jobs: JobStore) -> None:
    answers = await asyncio.gather(
        *(jobs.create(a_job(), b"%d" % number, IdempotencyKey("q", "same")) for number in range(20))
    )

    assert answers.count(None) == 1
    assert len({asked.job_id for asked in answers if asked}) == 1


async def test_a_withdrawn_job_is_gone_unless_it_may_have_begun(jobs: JobStore) -> None:
    doubtful, queued = a_job(), a_job()
    await jobs.create(doubtful, b"1")
    await jobs.create(queued, b"2")
    await jobs.sent([queued.job_id])

    made_again = a_job()
    await jobs.create(made_again, b"4")

    for job, message in ((doubtful, b"1"), (queued, b"2"), (made_again, b"3")):
        await jobs.withdraw_job(job.job_id, hashlib.sha1(message).hexdigest())

    with pytest.raises(NotFoundError):
        await jobs.get(doubtful.job_id)
    assert (await jobs.get(queued.job_id)).state == JobState.JOB_STATE_PENDING
    assert await jobs.unsent(older_than_s=-5, limit=10) == [(made_again.job_id, b"4")]
    await jobs.retire_function("f1", 0)
    assert await jobs.retired_and_done() == []


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


async def test_a_retired_function_takes_no_more_jobs_and_is_done_after_its_last(jobs: JobStore) -> None:
    job = a_job()
    await jobs.create(job, b"")

    await jobs.retire_function("f1", 0)

    with pytest.raises(NotFoundError, match="f1"):
        await jobs.create(a_job(), b"")
    assert await jobs.retired_and_done() == []
    claim = await jobs.claim(by("e1", job), LEASE_S)
    await finish(jobs, done(job), claim.token)
    assert await jobs.retired_and_done() == ["f1"]
    await jobs.forget_retired("f1")
    assert await jobs.retired_and_done() == []


async def test_a_function_made_after_a_retired_one_of_its_id_may_be_called(jobs: JobStore) -> None:
    await jobs.retire_function("f1", 1_795_228_426_120_001)

    for made_us in (0, 1_795_228_426_120_001):
        with pytest.raises(NotFoundError):
            await jobs.create(a_job(), b"", function_made_us=made_us)
    assert await jobs.create(a_job(), b"", function_made_us=1_795_228_426_120_002) is None


async def test_executors_are_listed_until_they_withdraw(jobs: JobStore) -> None:
    info = ExecutorInfo(executor_id="e1", address="e1:1", runtimes=["python3.11"], slots=8, free_slots=8)
    await jobs.announce(ExecutorInfo(executor_id="e2"))
    await jobs.announce(info)

    assert [one.executor_id for one in await jobs.executors()] == ["e1", "e2"]
    await jobs.withdraw("e2")
    assert await jobs.executors() == [info]
