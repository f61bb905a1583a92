"""Accepting jobs and finishing what crashes left, over a real queue and a real job store that can be killed."""

import asyncio
from functools import partial

import pytest

from nanogrid import caller
from nanogrid.caller import Caller
from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError, TooLargeError, UnavailableError
from nanogrid.jobs import JobFilter, record
from nanogrid.jobs.message import decode
from nanogrid.v1.resources_pb2 import ExecutorInfo, Job, JobState
from support.invoker_rig import BOB, FUNCTION_ID, Rig, invoker_rig
from support.jobs import by
from support.waiting import until, watched

rig = invoker_rig


async def test_an_accepted_job_is_visible_at_once_and_its_message_holds_all(rig: Rig) -> None:
    job = await rig.submit()

    assert (await rig.jobs.get(job.job_id)).state == JobState.JOB_STATE_PENDING
    [delivery] = await rig.queue.receive(1, 5)
    task = decode(delivery.body)
    assert (task.job.owner, task.function.handler, task.payload) == ("alice", "a.b", b'{"a":1}')
    assert task.function.HasField("timeout_s")
    assert task.function.timeout_s == 0


async def test_a_warm_function_costs_no_call_of_the_registry(rig: Rig) -> None:
    for _ in range(5):
        await rig.submit()

    assert rig.catalog.asked == 1


@pytest.mark.parametrize(
    ("payload", "function_id", "error"),
    [
        (b"{}", "unknown", NotFoundError),
        (b"{}", "", InvalidFieldError),
        (b"{", FUNCTION_ID, InvalidFieldError),
        (b'{"a":NaN}', FUNCTION_ID, InvalidFieldError),
        (b"x" * 3001, FUNCTION_ID, TooLargeError),
    ],
)
async def test_what_is_refused_leaves_no_job(
    rig: Rig, payload: bytes, function_id: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await rig.submit(payload, function_id)

    assert await rig.jobs.page(JobFilter(), 10, "") == ([], "")
    assert (await rig.queue.depth()).waiting == 0


async def test_another_owners_function_does_not_exist_though_it_is_remembered(rig: Rig) -> None:
    await rig.submit()
    caller.set_caller(BOB)

    with pytest.raises(NotFoundError):
        await rig.submit()


async def test_a_waiting_call_gets_the_result(rig: Rig) -> None:
    running = asyncio.create_task(rig.run_one(b'"done"'))

    job = await rig.invoke(b"", 0)

    assert (job.state, job.result) == (JobState.JOB_STATE_SUCCESS, b'"done"')
    await running


async def test_a_wait_that_ends_early_answers_the_job_as_it_is(rig: Rig) -> None:
    job = await rig.invoke(b"", 0.05)

    assert job.state == JobState.JOB_STATE_PENDING
    await rig.run_one(b"1")
    assert (await rig.jobs.get(job.job_id)).result == b"1"


async def test_a_waiter_outlives_a_restart_of_redis(rig: Rig) -> None:
    waiting = asyncio.create_task(rig.invoke(b"", 0))
    await until(partial(_is_queued, rig))

    rig.server.kill()
    rig.server.start()
    await rig.run_one(b'"late"')

    assert (await waiting).result == b'"late"'


async def test_while_redis_is_down_nothing_is_accepted_and_afterwards_all_is_well(rig: Rig) -> None:
    await rig.submit()
    rig.server.kill()

    with pytest.raises(UnavailableError):
        await rig.submit()
    with pytest.raises(UnavailableError):
        await rig.invoke(b"", 1)

    rig.server.start()
    await until(partial(_is_accepted, rig))


async def _is_queued(rig: Rig) -> bool:
    return (await rig.queue.depth()).waiting > 0


async def _is_accepted(rig: Rig) -> bool:
    try:
        return bool(await rig.submit())
    except UnavailableError:
        return False


async def test_a_record_without_a_message_is_swept_up(rig: Rig) -> None:
    await rig.submit()
    [delivery] = await rig.queue.receive(1, 5)
    await rig.queue.delete(delivery)
    await rig.sent.flush()
    lost = Job(job_id="job-lost", function_id=FUNCTION_ID, owner="alice", state=JobState.JOB_STATE_PENDING)
    await rig.jobs.create(lost, b"its message")  # and the invoker died before it was sent

    await rig.sweeper.sweep()
    await rig.sweeper.sweep()

    assert [delivery.body for delivery in await rig.queue.receive(10, 1)] == [b"its message"]


async def test_deleting_a_function_cancels_the_jobs_that_wait_and_has_those_that_run_cancelled(rig: Rig) -> None:
    waiting = [await rig.submit() for _ in range(250)]
    running = await rig.submit()
    await rig.jobs.claim(by("e1", running), 60)

    await rig.retirement.retire(FUNCTION_ID)

    states = {(await rig.jobs.get(job.job_id)).state for job in waiting}
    assert states == {JobState.JOB_STATE_CANCELLED}
    assert await rig.jobs.cancelled([running.job_id, waiting[0].job_id]) == {running.job_id: "its function was deleted"}
    assert (await rig.jobs.get(running.job_id)).state == JobState.JOB_STATE_PROCESSING
    assert rig.catalog.deleted == [FUNCTION_ID]


async def test_a_client_that_waits_for_a_job_of_a_deleted_function_is_told_at_once(rig: Rig) -> None:
    call = asyncio.create_task(rig.invoke())
    await until(lambda: rig.catalog.asked == 1)
    await rig.queue.receive(1, 10)

    await rig.retirement.retire(FUNCTION_ID)

    job = await watched(call)
    assert (job.state, job.error.type) == (JobState.JOB_STATE_CANCELLED, "Cancelled")


async def test_more_jobs_than_a_deletion_waits_for_are_cancelled_by_the_sweeper(rig: Rig) -> None:
    jobs = [await rig.submit() for _ in range(3)]
    await rig.jobs.retire_function(FUNCTION_ID, 0)

    await rig.sweeper.sweep()

    assert {(await rig.jobs.get(job.job_id)).state for job in jobs} == {JobState.JOB_STATE_CANCELLED}
    assert await rig.jobs.retired_jobs(10) == []


async def test_a_retired_functions_code_goes_after_its_last_job(rig: Rig) -> None:
    await rig.submit()
    [delivery] = await rig.queue.receive(1, 10)
    job = decode(delivery.body).job
    claim = await rig.jobs.claim(job, 60)
    await rig.jobs.retire_function(FUNCTION_ID, 0)

    with pytest.raises(NotFoundError):
        await rig.submit()
    await rig.sweeper.sweep()
    assert rig.code.deleted == []

    job.state = JobState.JOB_STATE_CANCELLED
    await rig.jobs.finish(job, claim.token, record.encode(job))
    await rig.sweeper.sweep()
    await rig.sweeper.sweep()
    assert rig.code.deleted == [FUNCTION_ID]


async def test_a_function_that_takes_a_retired_ones_id_is_called_at_once_by_every_invoker(rig: Rig) -> None:
    rig.catalog.made_s = 100
    await rig.submit()  # from here on this invoker remembers the function
    await rig.jobs.retire_function(FUNCTION_ID, 100 * 1_000_000)
    rig.catalog.made_s, rig.catalog.s3_key = 101, "new"

    job = await rig.submit()

    assert job.s3_key == "new"
    assert [decode(one.body).function.s3_key for one in await rig.queue.receive(10, 1)] == ["k", "new"]


async def test_executors_are_told_of(rig: Rig) -> None:
    await rig.jobs.announce(ExecutorInfo(executor_id="e1"))

    assert [one.executor_id for one in await rig.jobs.executors()] == ["e1"]


GATEWAY = Caller("alice", internal=True, request_id="r", is_service=True)


async def test_a_call_repeated_after_a_lost_connection_waits_for_the_job_it_made(rig: Rig) -> None:
    caller.set_caller(GATEWAY)
    lost = asyncio.create_task(rig.repeat("job-1", wait_s=20))
    await until(lambda: jobs_of(rig))
    lost.cancel()

    repeated = asyncio.create_task(rig.repeat("job-1", wait_s=20))
    submitted = await rig.repeat("job-1")
    await rig.run_one(b'"once"')

    assert (await repeated).result == b'"once"'
    assert (submitted.job_id, submitted.state) == ("job-1", JobState.JOB_STATE_PENDING)
    assert (await rig.repeat("job-1", wait_s=20)).result == b'"once"'
    assert await rig.queue.receive(1, 0.05) == []


async def jobs_of(rig: Rig) -> list[Job]:
    return (await rig.jobs.page(JobFilter(), 10, ""))[0]


async def test_an_id_is_no_way_to_another_callers_job(rig: Rig) -> None:
    caller.set_caller(GATEWAY)
    await rig.repeat("job-1")
    await rig.jobs.create(Job(job_id="job-2", function_id=FUNCTION_ID, owner="bob"), b"2")

    with pytest.raises(ConflictError):
        await rig.repeat("job-2", wait_s=1)


async def test_only_services_of_the_grid_choose_ids(rig: Rig) -> None:
    with pytest.raises(InvalidFieldError, match="job_id"):
        await rig.repeat("job-1")
