"""What the invoker answers beside the job store: durable results, large payloads, repeated questions, dead letters."""

import asyncio

import orjson
import pytest
from redis.asyncio import Redis

from nanogrid import caller
from nanogrid.errors import (
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    UnavailableError,
    UnprocessableError,
)
from nanogrid.jobs import ClaimOutcome, JobFilter, record
from nanogrid.jobs.message import decode
from nanogrid.queue import Delivery
from nanogrid.v1.artifacts_pb2 import FinishedRecord
from nanogrid.v1.resources_pb2 import Job, JobState
from support.invoker_rig import BOB, Rig, invoker_rig

rig = invoker_rig
LARGE = orjson.dumps({"text": "x" * 2000})


async def flush(rig: Rig) -> None:
    async with Redis.from_url(rig.server.url) as client:
        await client.flushall()


async def taken(rig: Rig) -> Delivery:
    [delivery] = await rig.queue.receive(1, 10)
    return delivery


async def bury_one(rig: Rig, reason: str = "no room") -> str:
    """Submit a job, fail it as an executor that gives up does, and return its id."""
    job = await rig.submit()
    delivery = await taken(rig)
    claim = await rig.jobs.claim(job, 60)
    job.state = JobState.JOB_STATE_FAILED
    await rig.jobs.finish(job, claim.token, record.encode(job))
    await rig.kept.keep(FinishedRecord(job_id=job.job_id, record=record.encode(job)))
    await rig.queue.bury(delivery, reason)
    return job.job_id


async def test_a_finished_job_is_answered_after_the_job_store_forgot_it(rig: Rig) -> None:
    job = await rig.submit()
    job.state, job.result = JobState.JOB_STATE_SUCCESS, b'{"n":1}'
    await rig.kept.keep(FinishedRecord(job_id=job.job_id, record=record.encode(job)))
    await flush(rig)

    found = await rig.results.get(job.job_id)

    assert (found.state, found.result, found.owner) == (JobState.JOB_STATE_SUCCESS, b'{"n":1}', "alice")


async def test_a_finished_job_is_answered_while_the_job_store_is_down(rig: Rig) -> None:
    job = await rig.submit()
    waiting = await rig.submit()
    job.state = JobState.JOB_STATE_FAILED
    await rig.kept.keep(FinishedRecord(job_id=job.job_id, record=record.encode(job)))
    rig.server.kill()

    assert (await rig.results.get(job.job_id)).state == JobState.JOB_STATE_FAILED
    with pytest.raises(UnavailableError):
        await rig.results.get(waiting.job_id)


async def test_a_job_nobody_knows_is_not_found(rig: Rig) -> None:
    with pytest.raises(NotFoundError, match="job-none is unknown"):
        await rig.results.get("job-none")


async def test_a_result_too_large_for_the_job_store_is_answered_whole(rig: Rig) -> None:
    calling = asyncio.create_task(rig.invoke())
    job = decode((await taken(rig)).body).job
    claim = await rig.jobs.claim(job, 60)
    job.state, job.result, job.stdout = JobState.JOB_STATE_SUCCESS, LARGE, "printed"
    await rig.kept.keep(FinishedRecord(job_id=job.job_id, record=record.encode(job)))
    await rig.jobs.finish(job, claim.token, record.encode_stub(job))

    for found in (await calling, await rig.results.get(job.job_id)):
        assert (found.result, found.stdout, found.kept_in_artifacts) == (LARGE, "printed", False)


async def test_a_payload_too_large_for_a_message_travels_apart(rig: Rig) -> None:
    job = await rig.submit(LARGE)

    delivery = await taken(rig)

    task = decode(delivery.body)
    assert (task.payload_elsewhere, task.payload) == (True, b"")
    assert len(delivery.body) < 1500
    assert await rig.kept.read_payload(job.job_id) == LARGE


async def test_a_large_payload_is_refused_while_it_cannot_be_kept(rig: Rig) -> None:
    rig.kept.is_down = True

    with pytest.raises(UnavailableError):
        await rig.submit(LARGE)

    assert (await rig.jobs.page(JobFilter(), 10, ""))[0] == []


async def test_the_same_question_makes_one_job_and_another_is_refused(rig: Rig) -> None:
    first = await rig.submit(b'{"a":1}', key="k1")

    again = await rig.submit(b'{"a":1}', key="k1")
    with pytest.raises(UnprocessableError, match="Idempotency-Key"):
        await rig.submit(b'{"a":2}', key="k1")
    other = await rig.submit(b'{"a":1}', key="k2")

    assert again.job_id == first.job_id != other.job_id
    await taken(rig)
    await taken(rig)
    assert await rig.queue.receive(1, 0.05) == []


async def test_keys_of_different_owners_are_different_questions(rig: Rig) -> None:
    mine = await rig.submit(key="k1")
    caller.set_caller(
        caller.Caller(None, internal=True, request_id="r")
    )  # the grid's own view: owner is the function's
    same = await rig.submit(key="k1")
    caller.set_caller(BOB)

    with pytest.raises(NotFoundError):
        await rig.submit(key="k1")
    assert same.job_id == mine.job_id


async def test_a_question_in_flight_is_a_conflict_and_answered_again_after_its_end(rig: Rig) -> None:
    calling = asyncio.create_task(rig.invoke(key="k"))
    delivery = await taken(rig)

    with pytest.raises(ConflictError, match="still waits"):
        await rig.invoke(key="k")
    await rig.finish(delivery, b'"done"')

    first, again = await calling, await rig.invoke(key="k")
    assert first.result == again.result == b'"done"'
    assert first.job_id == again.job_id
    assert await rig.queue.receive(1, 0.05) == []


async def test_a_question_whose_wait_was_over_is_answered_with_the_job_as_it_is(rig: Rig) -> None:
    first = await rig.invoke(wait_s=0.05, key="k")

    again = await rig.invoke(wait_s=0.05, key="k")

    assert (again.job_id, again.state) == (first.job_id, JobState.JOB_STATE_PENDING)


async def test_an_accepted_call_whose_record_was_flushed_is_still_accepted(rig: Rig) -> None:
    calling = asyncio.create_task(rig.invoke(wait_s=0.5))
    await taken(rig)
    await flush(rig)

    job = await calling

    assert (job.state, job.owner) == (JobState.JOB_STATE_PENDING, "alice")


@pytest.mark.parametrize("key", ["x" * 256, "with blank", "ünicode", "line\n"])
async def test_a_key_that_cannot_be_one_is_refused(rig: Rig, key: str) -> None:
    with pytest.raises(InvalidFieldError, match="idempotency_key"):
        await rig.submit(key=key)


async def test_what_was_refused_in_an_outage_is_not_run_afterwards(rig: Rig) -> None:
    job = await rig.submit()
    await taken(rig)
    ghost = Job(job_id="job-ghost", function_id="f", owner="alice", state=JobState.JOB_STATE_PENDING)
    await rig.jobs.create(ghost, b"ghost")  # recorded, and the answer was lost
    rig.sent.doubt("job-ghost", b"ghost")

    await rig.sent.flush()
    await rig.sweeper.sweep()

    assert await rig.queue.receive(1, 0.05) == []
    assert (await rig.jobs.get(job.job_id)).state == JobState.JOB_STATE_PENDING


async def test_dead_letters_are_listed_with_their_reason(rig: Rig) -> None:
    job_id = await bury_one(rig)

    letters, total = await rig.letters.page(10)

    assert (total, letters[0].reason, decode(letters[0].body).job.job_id) == (1, "no room", job_id)


async def test_a_redriven_job_is_pending_again_and_runs(rig: Rig) -> None:
    job_id = await bury_one(rig)
    [letter], _ = await rig.letters.page(10)

    assert await rig.letters.redrive([letter.letter_id], everything=False) == 1

    assert (await rig.results.get(job_id)).state == JobState.JOB_STATE_PENDING
    assert not await rig.kept.holds(job_id)
    assert await rig.letters.redrive([letter.letter_id], everything=False) == 0
    await rig.finish(await taken(rig), b"1")
    assert (await rig.results.get(job_id)).state == JobState.JOB_STATE_SUCCESS


async def test_purged_letters_are_gone_and_their_jobs_stay_failed(rig: Rig) -> None:
    job_ids = [await bury_one(rig) for _ in range(3)]

    assert await rig.letters.purge([], everything=True) == 3

    assert (await rig.letters.page(10))[1] == 0
    assert {(await rig.results.get(one)).state for one in job_ids} == {JobState.JOB_STATE_FAILED}


async def test_garbage_is_redriven_as_it_is(rig: Rig) -> None:
    await rig.queue.send(b"\x00garbage")
    await rig.queue.bury(await taken(rig), "not JSON")

    assert await rig.letters.redrive([], everything=True) == 1

    assert (await taken(rig)).body == b"\x00garbage"


@pytest.mark.parametrize(("ids", "everything"), [([], False), (["1-1"], True)])
async def test_which_letters_must_be_said(rig: Rig, ids: list[str], everything: bool) -> None:
    with pytest.raises(InvalidFieldError, match="letter_ids"):
        await rig.letters.redrive(ids, everything=everything)


async def test_what_the_queue_itself_gave_up_fails_its_job_and_tells_its_waiter(rig: Rig) -> None:
    calling = asyncio.create_task(rig.invoke())
    delivery = await taken(rig)
    await rig.queue.bury(delivery, "")  # as a queue does that moves a message after too many receives

    await rig.letters.look()

    job = await calling
    assert (job.state, job.error.type) == (JobState.JOB_STATE_FAILED, "Lost")
    assert "after 1 receives" in job.error.message
    assert await rig.kept.holds(job.job_id)


async def test_what_the_queue_gave_up_of_a_job_that_runs_is_left_to_its_owner(rig: Rig) -> None:
    job = await rig.submit()
    delivery = await taken(rig)
    claim = await rig.jobs.claim(job, 60)
    await rig.queue.bury(delivery, "")

    await rig.letters.look()

    assert (await rig.jobs.get(job.job_id)).state == JobState.JOB_STATE_PROCESSING
    await rig.jobs.hand_back(job.job_id, claim.token, count_try=False)
    await rig.letters.look()
    assert (await rig.jobs.get(job.job_id)).state == JobState.JOB_STATE_FAILED


async def test_what_the_queue_gave_up_after_its_result_was_kept_gets_that_result(rig: Rig) -> None:
    job = await rig.submit()
    delivery = await taken(rig)
    done = Job()
    done.CopyFrom(job)
    done.state, done.result = JobState.JOB_STATE_SUCCESS, b"7"
    await rig.kept.keep(FinishedRecord(job_id=job.job_id, record=record.encode(done)))
    await rig.queue.bury(delivery, "")

    await rig.letters.look()

    assert (await rig.jobs.get(job.job_id)).result == b"7"
    assert (await rig.jobs.claim(job, 1)).outcome is ClaimOutcome.FINISHED
