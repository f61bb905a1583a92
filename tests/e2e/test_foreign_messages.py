"""Jobs that somebody else put on the queue: run, answered in their spelling, or given up with the reason."""

import json
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from nanogrid.queue import TaskQueue, open_queue
from support.grid import Grid
from support.waiting import until

HANDLER = """
import os
def handler(event, context):
    return {"event": event, "who": os.environ.get("WHO"), "from": "stored"}
"""

INLINE = """
import os
def handler(event, context):
    return {"event": event, "who": os.environ.get("WHO"), "from": "inline"}
"""

PROGRAM = """
import json, os
print("working")
print(json.dumps({"안녕": json.loads(os.environ["PAYLOAD"])}))
"""


@pytest.fixture
async def queue(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TaskQueue]:
    for name, value in grid.env.items():
        monkeypatch.setenv(name, value)
    async with open_queue(grid.queue_url, f"by-hand-{uuid.uuid4()}") as opened:
        yield opened


async def put(queue: TaskQueue, **message: Any) -> None:
    await queue.send(json.dumps(message).encode())


async def reason_of(queue: TaskQueue, text: str) -> str:
    """Why the message with this text in it was given up."""

    async def reasons() -> list[str]:
        return [letter.reason for letter in await queue.dead_letters(1000) if text.encode() in letter.body]

    return (await until(reasons, "it was not dead-lettered"))[0]


async def is_empty(queue: TaskQueue) -> bool:
    depth = await queue.depth()
    return not (depth.waiting or depth.in_flight or depth.delayed)


def an_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4()}"


async def test_a_camel_case_message_is_answered_in_camel_case(grid: Grid, queue: TaskQueue) -> None:
    function_id = grid.upload(HANDLER, env='{"WHO": "me"}', memory_mb=256)
    request_id = an_id("req")

    await put(
        queue,
        requestId=request_id,
        functionId=function_id,
        runtime="python",
        s3Bucket="nanogrid-code-bucket",
        s3Key=f"functions/{function_id}/code.zip",
        timeoutMs=20_500,
        memoryMb=128,
        inputData={"n": 1},
    )

    job = grid.ended(request_id)
    assert (job["requestId"], job["functionId"], job["status"]) == (request_id, function_id, "SUCCESS"), job
    assert job["result"] == {"event": {"n": 1}, "who": "me", "from": "stored"}
    assert (job["exitCode"], job["optimizationTip"][:6]) == (0, "💡 Tip:")
    assert "job_id" not in job


async def test_a_camel_case_message_brings_code_of_no_known_function(grid: Grid, queue: TaskQueue) -> None:
    function_id = grid.upload(HANDLER, name="hello.py")
    request_id = an_id("req")

    await put(
        queue,
        requestId=request_id,
        functionId="made-by-hand",
        runtime="python",
        s3Key=f"functions/{function_id}/code.zip",
    )

    job = grid.ended(request_id)
    assert (job["status"], job["functionId"]) == ("SUCCESS", "made-by-hand"), job
    assert job["result"] == {"event": {}, "who": None, "from": "stored"}


async def test_inline_code_runs_with_its_functions_settings_and_apart_from_it(grid: Grid, queue: TaskQueue) -> None:
    function_id = grid.upload(HANDLER, env='{"WHO": "me"}')
    stored = grid.run(function_id)["result"]
    job_id = an_id("job")

    await put(queue, job_id=job_id, function_id=function_id, code=INLINE, payload=[1])

    job = grid.ended(job_id)
    assert (job["job_id"], job["function_id"], job["status"]) == (job_id, function_id, "completed"), job
    assert job["result"] == {"event": [1], "who": "me", "from": "inline"}
    assert [grid.run(function_id)["result"] for _ in range(8)] == 8 * [stored], "whichever executor ran it"


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"code": PROGRAM, "payload": {"이름": 1}}, {"안녕": {"이름": 1}}),
        ({"code": INLINE, "handler": "pkg/app.handler"}, {"event": {}, "who": None, "from": "inline"}),
        (
            {
                "code": "exports.run = async (e) => e.a + 1",
                "runtime": "nodejs",
                "handler": "a.run",
                "payload": {"a": 1},
            },
            2,
        ),
    ],
    ids=["program", "folder", "node"],
)
async def test_inline_code_needs_no_function(
    grid: Grid, queue: TaskQueue, sandbox_url: str, fields: dict[str, Any], result: Any
) -> None:
    job_id = an_id("job")

    await put(queue, job_id=job_id, **fields)

    job = grid.ended(job_id)
    assert (job["status"], job["result"]) == ("completed", result), job


async def test_a_message_of_our_own_shape_needs_no_owner(grid: Grid, queue: TaskQueue) -> None:
    function_id = grid.upload(HANDLER)
    job_id = an_id("job")

    await put(queue, job_id=job_id, function_id=function_id, payload="x")

    assert grid.ended(job_id)["result"]["event"] == "x"
    listed = grid.http.get("/jobs", params={"function_id": function_id}).json()["jobs"]
    assert [job["job_id"] for job in listed] == [job_id]


async def test_a_message_with_its_id_used_before_is_not_run_again(grid: Grid, queue: TaskQueue) -> None:
    job_id = an_id("job")
    await put(queue, job_id=job_id, code="print(1)")
    first = grid.ended(job_id)

    await put(queue, job_id=job_id, code="print(2)")
    await until(partial(is_empty, queue))

    assert grid.wait(job_id) == first


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"s3Bucket": "somebody-elses", "s3Key": "code.zip", "runtime": "python"}, "'somebody-elses'"),
        ({"s3Key": "../../etc/passwd", "runtime": "python"}, "s3Key"),
        ({"timeoutMs": -5}, "timeoutMs is -5"),
        ({}, "is unknown"),
    ],
    ids=["bucket", "key", "number", "unknown"],
)
async def test_what_can_never_run_is_given_up_with_the_reason(
    grid: Grid, queue: TaskQueue, fields: dict[str, Any], reason: str
) -> None:
    request_id = an_id("req")

    await put(queue, requestId=request_id, functionId="made-by-hand", **fields)

    job = grid.ended(request_id)
    assert (job["requestId"], job["status"]) == (request_id, "FAILED"), job
    assert reason in job["error"]["message"]
    assert reason in await reason_of(queue, request_id)


async def test_code_that_is_not_there_fails_its_job(grid: Grid, queue: TaskQueue) -> None:
    request_id = an_id("req")

    await put(queue, requestId=request_id, functionId="made-by-hand", runtime="python", s3Key="missing.zip")

    job = grid.ended(request_id)
    assert (job["status"], job["error"]["type"]) == ("FAILED", "CodeNotFound"), job
    assert "missing.zip" in await reason_of(queue, request_id)
