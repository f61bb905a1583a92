"""Jobs that are ended before they are done, while they wait, while they run, and after their executor died."""

import asyncio

import pytest

from nanogrid.jobs.message import encode
from nanogrid.v1.resources_pb2 import Job, JobState
from support.jobs import a_job, by
from support.runner_rig import EMPTY, Rig, runner_rig
from support.waiting import WATCHDOG_S, until, watched

rig = runner_rig

REASON = "its function was deleted"


def is_cancelled(job: Job) -> bool:
    return (job.state, job.error.type, job.error.message) == (JobState.JOB_STATE_CANCELLED, "Cancelled", REASON)


@pytest.fixture
async def runaway(rig: Rig) -> str:
    """A job that would run for ever."""
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await watched(rig.provider.calling.wait())
    return job_id


async def test_a_job_that_runs_is_ended_with_its_whole_sandbox(rig: Rig, runaway: str) -> None:
    assert await rig.jobs.cancel(runaway, REASON)

    assert is_cancelled(await rig.ended(runaway))
    await rig.settled(EMPTY)
    await until(lambda: rig.provider.destroyed)
    assert rig.provider.calls == [runaway]
    assert b"CANCELLED" in await rig.kept.read_result(runaway)


async def test_a_job_that_waits_is_ended_at_once_and_never_begun(rig: Rig) -> None:
    job = a_job(function_id="f")
    message = encode(rig.a_message(job))
    await rig.jobs.create(job, message)

    async with rig.jobs.waiting(job.job_id) as waiter:
        assert await rig.jobs.cancel(job.job_id, REASON)
        told = await waiter.wait(WATCHDOG_S)

    assert told is not None
    assert is_cancelled(told)
    await rig.queue.send(message)  # which was on its way
    await rig.settled(EMPTY)
    assert rig.provider.calls == []
    assert is_cancelled(await rig.jobs.get(job.job_id))


async def test_a_job_whose_executor_died_is_ended_by_the_next_instead_of_run(rig: Rig) -> None:
    job = a_job(function_id="f")
    message = encode(rig.a_message(job))
    await rig.jobs.create(job, message)
    await rig.jobs.claim(by("dead", job), 0.1)

    assert await rig.jobs.cancel(job.job_id, REASON)
    await rig.queue.send(message)

    assert is_cancelled(await rig.ended(job.job_id))
    assert rig.provider.calls == []


async def test_a_job_that_ended_or_never_was_is_not_cancelled(rig: Rig) -> None:
    job_id = await rig.submit()
    await rig.ended(job_id)

    assert not await rig.jobs.cancel(job_id, REASON)
    assert not await rig.jobs.cancel("job-unknown", REASON)

    assert (await rig.jobs.get(job_id)).state == JobState.JOB_STATE_SUCCESS


async def test_cancelling_twice_is_cancelling_once(rig: Rig, runaway: str) -> None:
    await asyncio.gather(*(rig.jobs.cancel(runaway, REASON) for _ in range(3)))

    assert is_cancelled(await rig.ended(runaway))
    await rig.settled(EMPTY)
    assert not await rig.jobs.cancel(runaway, REASON)
    assert await rig.jobs.cancelled([runaway]) == {}


async def test_what_it_printed_is_in_the_record_of_a_cancelled_job(rig: Rig, runaway: str) -> None:
    rig.provider.say(b"half way\n")

    await rig.jobs.cancel(runaway, REASON)

    assert (await rig.ended(runaway)).stdout == "half way\n"


async def test_an_executor_stopped_by_the_grids_user_ends_what_does_not_end_in_time(rig: Rig, runaway: str) -> None:
    rig.poller.stop()

    await rig.poller.drain(0.01, end=lambda: rig.running.cancel_all(REASON))

    assert is_cancelled(await rig.jobs.get(runaway))
    await rig.settled(EMPTY)


async def test_an_executor_that_is_only_told_to_stop_hands_it_back(rig: Rig, runaway: str) -> None:
    rig.poller.stop()

    await rig.poller.drain(0.01)

    assert (await rig.jobs.get(runaway)).state == JobState.JOB_STATE_PENDING
    assert (await rig.queue.depth()).waiting == 1
