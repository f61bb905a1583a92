"""Messages that can never be run: whoever waits for their jobs is told, in the sender's spelling."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from nanogrid.jobs import JobFilter
from nanogrid.queue import Depth
from nanogrid.v1.resources_pb2 import JobState
from support.jobs import a_job
from support.runner_rig import Rig, runner_rig
from support.waiting import WATCHDOG_S, watched

rig = runner_rig

KEY = "functions/f/v1.zip"
ONE_DEAD = Depth(0, 0, 0, 1)


@asynccontextmanager
async def hearing(redis_url: str, job_id: str) -> AsyncIterator["asyncio.Task[dict[str, Any]]"]:
    """The news of a job, as a client of its own hears them that knows nothing of NanoGrid."""
    async with Redis.from_url(redis_url) as client, client.pubsub() as heard:
        await heard.subscribe(f"result:{job_id}")
        assert await heard.get_message(timeout=WATCHDOG_S)

        async def first() -> dict[str, Any]:
            async for said in heard.listen():
                if said["type"] == "message":
                    return json.loads(said["data"])
            raise AssertionError

        task = asyncio.create_task(first())
        yield task
        task.cancel()


async def put(rig: Rig, **message: Any) -> None:
    await rig.queue.send(json.dumps(message).encode())


@pytest.mark.parametrize(
    ("message", "error_type", "reason"),
    [
        ({"function_id": "f"}, "CodeNotFound", "names no code to run"),
        ({"function_id": "f", "s3_key": KEY}, "RuntimeNotSupported", "runtime is missing"),
        ({}, "Lost", "function_id is missing"),
        ({"function_id": "f", "s3_key": "../x", "runtime": "python"}, "Lost", "s3_key '../x' is not a key"),
        ({"function_id": "f", "s3_key": KEY, "runtime": 3}, "Lost", "runtime is not a string"),
        ({"function_id": "f", "s3_key": KEY, "runtime": "python", "timeout": "5"}, "Lost", "timeout is not a whole"),
        ({"function_id": "f/g", "s3_key": KEY, "runtime": "python"}, "Lost", "function_id 'f/g' is not"),
        ({"code": 1}, "Lost", "code is not the text of a source file"),
    ],
)
async def test_a_message_that_cannot_be_run_ends_its_job_with_the_reason(
    rig: Rig, redis_url: str, message: dict[str, Any], error_type: str, reason: str
) -> None:
    job_id = f"job-{uuid.uuid4()}"

    async with hearing(redis_url, job_id) as heard:
        await put(rig, job_id=job_id, **message)
        news = await watched(heard)

    assert (news["job_id"], news["status"], news["error"]["type"]) == (job_id, "failed", error_type)
    assert reason in news["error"]["message"]
    job = await rig.jobs.get(job_id)
    assert (job.state, job.owner) == (JobState.JOB_STATE_FAILED, "local")
    await rig.settled(ONE_DEAD)
    [letter] = await rig.queue.dead_letters(10)
    assert reason in letter.reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"s3Bucket": "elsewhere", "s3Key": KEY, "runtime": "python"}, "bucket 'nanogrid-code-bucket' only"),
        ({"s3Key": KEY, "runtime": "python", "timeoutMs": -1}, "timeoutMs is -1"),
        ({"s3Key": KEY}, "runtime is missing"),
    ],
)
async def test_the_second_dialect_is_told_in_its_own_words(
    rig: Rig, redis_url: str, message: dict[str, Any], reason: str
) -> None:
    request_id = f"req-{uuid.uuid4()}"

    async with hearing(redis_url, request_id) as heard:
        await put(rig, requestId=request_id, functionId="hello-python", **message)
        news = await watched(heard)

    assert (news["requestId"], news["status"]) == (request_id, "FAILED")
    assert reason in news["error"]["message"]
    assert (await rig.jobs.get(request_id)).function_id == "hello-python"


async def test_its_durable_result_is_kept_like_any_other(rig: Rig) -> None:
    await put(rig, job_id="job-refused", function_id="f")
    await rig.ended("job-refused")
    await rig.settled(ONE_DEAD)

    assert b"names no code to run" in await rig.kept.read_result("job-refused")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"function_id":"f"}', b'{"job_id":"a/b","function_id":"f"}', b'{"job_id":7}']
)
async def test_a_message_that_names_no_job_is_only_dead_lettered(rig: Rig, body: bytes) -> None:
    await rig.queue.send(body)

    await rig.settled(ONE_DEAD)

    assert (await rig.jobs.page(JobFilter(), 10, ""))[0] == []


async def test_a_job_that_was_submitted_under_the_same_id_is_left_alone(rig: Rig) -> None:
    job = a_job(function_id="f")
    await rig.jobs.create(job, b"")  # its message is still on its way

    await put(rig, job_id=job.job_id, function_id="f", runtime="python", s3_key="../x")
    await rig.settled(ONE_DEAD)

    known = await rig.jobs.get(job.job_id)
    assert (known.state, known.attempt) == (JobState.JOB_STATE_PENDING, 0)


async def test_a_submitted_job_whose_own_message_was_spoilt_does_not_wait_for_ever(rig: Rig) -> None:
    job = a_job(function_id="f")
    await rig.jobs.create(job, b"")

    await put(rig, job_id=job.job_id, owner=job.owner, function_id="f", runtime="python3.11", s3_key="k")

    ended = await rig.ended(job.job_id)
    assert (ended.state, ended.owner) == (JobState.JOB_STATE_FAILED, "alice")
    assert "handler is missing" in ended.error.message


async def test_a_job_that_ended_keeps_its_result_whatever_comes_under_its_id_later(rig: Rig) -> None:
    job_id = await rig.submit()
    assert (await rig.ended(job_id)).state == JobState.JOB_STATE_SUCCESS

    await put(rig, job_id=job_id, function_id="f", s3_key="../x")
    await rig.settled(ONE_DEAD)

    assert (await rig.jobs.get(job_id)).state == JobState.JOB_STATE_SUCCESS
