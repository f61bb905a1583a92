"""What every JobStore promises when its records are lost: messages and owners bring them back."""

import pytest

from nanogrid.jobs import ClaimOutcome, JobFilter, JobStore, LeaseLostError, record
from nanogrid.v1.resources_pb2 import JobState
from support.jobs import LEASE_S, a_job, by, done, finish, flush
from support.waiting import WATCHDOG_S


async def test_a_job_without_a_record_is_rebuilt_by_its_claim(jobs: JobStore) -> None:
    job = a_job()

    claim = await jobs.claim(by("e1", job), LEASE_S)

    assert claim.outcome is ClaimOutcome.OWNED
    assert (await jobs.get(job.job_id)).owner == "alice"


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
        waited = await waiter.wait(WATCHDOG_S)

    assert waited is not None
    assert waited.stdout == (await jobs.get(job.job_id)).stdout == "from e1"
    with pytest.raises(LeaseLostError):
        await jobs.renew(by("e2", job), claim.token, LEASE_S)
