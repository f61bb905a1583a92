"""Jobs of a function at its `max_concurrency`: they wait as PENDING, and hold up no other."""

import asyncio
import json
import uuid

from nanogrid.queue import Depth
from nanogrid.v1.resources_pb2 import Function, JobState
from support.runner_rig import EMPTY, Rig, runner_rig
from support.waiting import until

rig = runner_rig

PENDING, PROCESSING, SUCCESS = JobState.JOB_STATE_PENDING, JobState.JOB_STATE_PROCESSING, JobState.JOB_STATE_SUCCESS


async def states(rig: Rig, jobs: list[str]) -> list[JobState.ValueType]:
    return [(await rig.jobs.get(job_id)).state for job_id in jobs]


async def test_jobs_that_wait_for_their_turn_are_pending_and_take_no_try(rig: Rig) -> None:
    rig.provider.gate.clear()
    jobs = [await rig.submit(max_concurrency=1) for _ in range(6)]
    await until(lambda: rig.provider.calls)
    await until(lambda: rig.poller.free == 3)

    assert sorted(await states(rig, jobs)) == [PENDING] * 5 + [PROCESSING]

    rig.provider.gate.set()
    ended = [await rig.ended(job_id) for job_id in jobs]
    assert {(job.state, job.attempt) for job in ended} == {(SUCCESS, 1)}
    assert len(rig.provider.calls) == 6
    assert rig.provider.made == 1


async def test_they_hold_up_no_other_function_however_many_they_are(rig: Rig) -> None:
    rig.provider.gate.clear()
    jobs = [await rig.submit(max_concurrency=1) for _ in range(40)]
    await until(lambda: rig.provider.calls)

    other = await rig.submit(function_id="g")
    await until(lambda: other in rig.provider.calls)

    assert (await states(rig, jobs)).count(PROCESSING) == 1
    rig.provider.gate.set()
    assert (await rig.ended(other)).state == SUCCESS
    for job_id in jobs:
        assert (await rig.ended(job_id)).state == SUCCESS
    await rig.settled(EMPTY)


async def test_a_message_by_hand_waits_for_its_turn_with_the_functions_other_jobs(rig: Rig) -> None:
    rig.bundles.function = Function(
        function_id="f",
        owner="alice",
        runtime="python3.11",
        handler="main.handler",
        s3_key="k",
        max_concurrency=1,
        timeout_s=60,
        memory_mb=128,
    )
    rig.provider.gate.clear()
    await rig.submit(max_concurrency=1)
    await until(lambda: rig.provider.calls)

    by_hand = f"job-{uuid.uuid4()}"
    await rig.queue.send(json.dumps({"job_id": by_hand, "function_id": "f"}).encode())
    await until(lambda: rig.poller.free == 3)

    assert len(rig.provider.calls) == 1
    rig.provider.gate.set()
    assert (await rig.ended(by_hand)).state == SUCCESS


async def test_an_executor_that_stops_gives_them_back_at_once(rig: Rig) -> None:
    rig.provider.gate.clear()
    jobs = [await rig.submit(max_concurrency=1) for _ in range(3)]
    await until(lambda: rig.provider.calls)
    await until(lambda: rig.poller.free == 3)

    rig.poller.stop()
    await rig.settled(Depth(waiting=2, in_flight=1, delayed=0, dead=0))
    rig.provider.gate.set()
    await rig.poller.drain(20)

    assert sorted(await states(rig, jobs)) == sorted([SUCCESS, PENDING, PENDING])


async def test_a_job_whose_turn_comes_begins_at_once(rig: Rig) -> None:
    rig.provider.gate.clear()
    jobs = [await rig.submit(max_concurrency=1, sync=True) for _ in range(3)]
    await until(lambda: rig.provider.calls)

    rig.provider.gate.set()

    async with asyncio.timeout(20):
        for job_id in jobs:
            await rig.ended(job_id)
    assert (await rig.queue.depth()).delayed == 0
