"""The executor's delivery rules over a real queue and a real job store; only the sandbox is a fake behind its port."""

import asyncio

import pytest
from redis.asyncio import Redis

from nanogrid.errors import NotFoundError, UnavailableError
from nanogrid.jobs import ClaimOutcome
from nanogrid.jobs.message import Message, encode
from nanogrid.queue import Depth
from nanogrid.v1.resources_pb2 import Function, Job, JobState, OutputFile
from services.executor.sandbox import CallError, CallResult, Kind, OutputStream
from support.runner_rig import EMPTY, Rig, runner_rig
from support.waiting import until

rig = runner_rig


async def test_a_job_runs_is_recorded_and_its_message_goes(rig: Rig) -> None:
    rig.provider.prints = [(OutputStream.STDOUT, b"hi\n"), (OutputStream.STDERR, b"warn")]
    rig.provider.leaves = {"a.txt": b"abc"}

    job_id = await rig.submit()
    job = await rig.ended(job_id)

    assert (job.state, job.result, job.stdout, job.stderr) == (JobState.JOB_STATE_SUCCESS, b'"ok"', "hi\n", "warn")
    assert job.output_files == [OutputFile(key=f"outputs/{job_id}/a.txt", size_bytes=3)]
    assert (job.attempt, job.cold_start, job.executor_address) == (1, True, "e1:1")
    assert (job.peak_memory_bytes, job.recommended_memory_mb) == (44 * 1024 * 1024, 64)
    await rig.settled(EMPTY)


async def test_the_second_call_finds_its_sandbox_warm_and_its_output_empty(rig: Rig) -> None:
    rig.provider.leaves = {"a.txt": b"abc"}
    await rig.ended(await rig.submit())
    rig.provider.leaves = {}

    job = await rig.ended(await rig.submit())

    assert not job.cold_start
    assert list(job.output_files) == []
    assert len(rig.provider.specialised) == 1


async def test_a_failing_handler_is_data_and_its_sandbox_serves_on(rig: Rig) -> None:
    failed = CallResult(None, CallError("HandlerError", "ValueError: no", "trace"), 1, 1, 1.0, reusable=True)
    rig.provider.result = failed

    job = await rig.ended(await rig.submit())

    assert (job.state, job.error.type, job.error.stack) == (JobState.JOB_STATE_FAILED, "HandlerError", "trace")
    assert rig.provider.destroyed == []
    await rig.settled(EMPTY)


async def test_a_broken_sandbox_is_destroyed_and_the_next_call_gets_another(rig: Rig) -> None:
    ok = rig.provider.result
    rig.provider.result = CallResult(None, CallError("Timeout", "over"), None, 1, 1.0, reusable=False)
    await rig.ended(await rig.submit())
    rig.provider.result = ok

    job = await rig.ended(await rig.submit())

    assert job.state == JobState.JOB_STATE_SUCCESS
    assert rig.provider.made == 2


async def test_an_init_error_fails_the_job(rig: Rig) -> None:
    rig.provider.init = CallError("InitError", "no module")

    job = await rig.ended(await rig.submit())

    assert (job.state, job.error.type) == (JobState.JOB_STATE_FAILED, "InitError")
    assert rig.provider.calls == []


@pytest.mark.parametrize(
    ("printed", "result"), [(b'log\n{"a": 1}\n', b'{"a":1}'), (b"not json\n", b"null"), (b"", b"null")]
)
async def test_a_programs_last_line_is_its_result_when_it_is_json(rig: Rig, printed: bytes, result: bytes) -> None:
    rig.provider.init = Kind.PROGRAM
    rig.provider.result = CallResult(None, None, 0, 1, 1.0, reusable=True)
    rig.provider.prints = [(OutputStream.STDOUT, printed)]

    job = await rig.ended(await rig.submit())

    assert (job.state, job.result.replace(b" ", b"")) == (JobState.JOB_STATE_SUCCESS, result)


async def test_a_runtime_that_is_not_offered_is_tried_again_and_then_dead_lettered(rig: Rig) -> None:
    job = await rig.ended(await rig.submit(runtime="python3.9"))

    assert (job.error.type, job.attempt) == ("RuntimeNotSupported", 3)
    assert "python3.11" in job.error.message
    await rig.settled(Depth(0, 0, 0, dead=1))


async def test_a_sandbox_that_does_not_start_is_tried_again(rig: Rig) -> None:
    rig.provider.fails = 2

    job = await rig.ended(await rig.submit())

    assert (job.state, job.attempt) == (JobState.JOB_STATE_SUCCESS, 3)
    await rig.settled(EMPTY)


async def test_after_three_tries_the_job_fails_with_the_reason_and_the_message_is_dead_lettered(rig: Rig) -> None:
    rig.provider.fails = 3

    job = await rig.ended(await rig.submit())

    assert (job.state, job.error.type) == (JobState.JOB_STATE_FAILED, "Lost")
    assert "no room (after 3 tries)" in job.error.message
    await rig.settled(Depth(0, 0, 0, dead=1))


async def test_missing_code_is_tried_again_and_then_said(rig: Rig) -> None:
    rig.bundles.error = NotFoundError("no object")

    job = await rig.ended(await rig.submit())

    assert job.error.type == "CodeNotFound"


async def test_an_outage_uses_up_no_try(rig: Rig) -> None:
    rig.bundles.error = UnavailableError("artifacts cannot be reached")
    job_id = await rig.submit()
    await rig.settled(Depth(0, 0, delayed=1, dead=0))
    rig.bundles.error = None

    job = await rig.ended(job_id)

    assert (job.state, job.attempt) == (JobState.JOB_STATE_SUCCESS, 1)


async def test_a_job_whose_executors_died_three_times_is_given_up_and_not_run_again(rig: Rig) -> None:
    job = Job(job_id="job-poison", function_id="f", owner="alice", executor_id="dead")
    for _ in range(3):
        await rig.jobs.claim(job, lease_s=0)
    function = Function(function_id="f", owner="alice", runtime="python3.11", handler="main.handler", s3_key="k")
    await rig.queue.send(encode(Message(job, function, b"{}")))

    ended = await rig.ended("job-poison")

    assert (ended.state, ended.error.type) == (JobState.JOB_STATE_FAILED, "Lost")
    assert rig.provider.calls == []
    await rig.settled(Depth(0, 0, 0, dead=1))


async def test_a_mistake_of_ours_uses_up_tries_like_any_fault(rig: Rig) -> None:
    rig.bundles.error = ZeroDivisionError("ours")

    job = await rig.ended(await rig.submit())

    assert (job.error.type, "ours" in job.error.message) == ("Lost", False)


async def test_garbage_is_dead_lettered_and_the_next_job_runs(rig: Rig) -> None:
    await rig.queue.send(b"\x00 not json")
    await rig.queue.send(b'{"job_id": 5}')
    await rig.queue.send(b'[1, "2"]')

    job = await rig.ended(await rig.submit())

    assert job.state == JobState.JOB_STATE_SUCCESS
    await rig.settled(Depth(0, 0, 0, dead=3))


async def test_a_duplicate_of_a_finished_job_does_not_run_again(rig: Rig) -> None:
    function = Function(function_id="f", owner="alice", runtime="python3.11", handler="main.handler", s3_key="k")
    job = Job(job_id="job-twice", function_id="f", owner="alice", state=JobState.JOB_STATE_PENDING)
    await rig.queue.send(encode(Message(job, function, b"{}")))
    await rig.ended("job-twice")

    await rig.queue.send(encode(Message(job, function, b"{}")))
    await rig.settled(EMPTY)

    assert rig.provider.calls == ["job-twice"]


async def test_a_duplicate_of_a_running_job_waits_and_then_goes(rig: Rig) -> None:
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await rig.provider.calling.wait()
    function = Function(function_id="f", owner="alice", runtime="python3.11", handler="main.handler", s3_key="k")
    await rig.queue.send(encode(Message(Job(job_id=job_id, function_id="f", owner="alice"), function, b"{}")))
    await rig.settled(Depth(0, in_flight=1, delayed=1, dead=0))

    rig.provider.gate.set()

    await rig.ended(job_id)
    await rig.settled(EMPTY)
    assert rig.provider.calls == [job_id]


async def test_a_job_longer_than_its_lease_stays_ours(rig: Rig) -> None:
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await rig.provider.calling.wait()
    held_until = asyncio.get_running_loop().time() + 1.5  # two and a half leases
    while asyncio.get_running_loop().time() < held_until:
        claim = await rig.jobs.claim(Job(job_id=job_id, executor_id="e2"), 1)
        assert claim.outcome is ClaimOutcome.BUSY
        await asyncio.sleep(0.05)

    rig.provider.gate.set()

    assert (await rig.ended(job_id)).attempt == 1


async def test_an_owner_whose_job_was_taken_stops_and_publishes_nothing(rig: Rig, redis_url: str) -> None:
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await rig.provider.calling.wait()
    async with Redis.from_url(redis_url) as client:
        await client.hset(f"job:{job_id}", "lease_until", 0)
    thief = await rig.jobs.claim(Job(job_id=job_id, executor_id="e2", owner="alice", function_id="f"), 60)
    assert thief.outcome is ClaimOutcome.OWNED

    await until(lambda: rig.poller.free == 4)

    found = await rig.jobs.get(job_id)
    assert (found.state, found.executor_id, found.attempt) == (JobState.JOB_STATE_PROCESSING, "e2", 2)
    assert len(rig.provider.destroyed) == 1


async def test_a_call_is_served_while_jobs_that_nobody_waits_for_hold_their_places(rig: Rig) -> None:
    rig.provider.gate.clear()
    for _ in range(6):  # more than there are places
        await rig.submit()
    await until(lambda: len(rig.provider.calls) == 3)  # of four places one is kept

    called = await rig.submit(sync=True)

    await until(lambda: called in rig.provider.calls)
    assert len(rig.provider.calls) == 4
    rig.provider.gate.set()
    await rig.settled(EMPTY)


async def test_a_backlog_goes_on_as_soon_as_a_place_is_free(rig: Rig) -> None:
    jobs = [await rig.submit() for _ in range(30)]

    for job_id in jobs:
        await rig.ended(job_id)

    assert sorted(rig.provider.calls) == sorted(jobs)


async def test_no_more_jobs_are_begun_while_too_many_endings_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.executor.delivery.ending._CROWD", 2)
    rig.kept.is_down = True
    for _ in range(2):
        await rig.ended(await rig.submit())
    await until(lambda: rig.ending.crowded)

    waiting = await rig.submit()
    assert not await rig.runner.ready()
    rig.kept.is_down = False

    assert (await rig.ended(waiting)).state == JobState.JOB_STATE_SUCCESS


async def test_a_drained_executor_hands_back_what_it_could_not_finish(rig: Rig) -> None:
    rig.provider.gate.clear()
    job_id = await rig.submit()
    await rig.provider.calling.wait()

    rig.poller.stop()
    await rig.poller.drain(0.05)

    found = await rig.jobs.get(job_id)
    assert (found.state, found.attempt) == (JobState.JOB_STATE_PENDING, 0)
    depth = await rig.queue.depth()
    assert depth.waiting + depth.delayed == 1
