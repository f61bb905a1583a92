"""Payloads and results pass through the whole grid byte for byte, on both families of backends."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis

from nanogrid.errors import NotFoundError
from nanogrid.json_text import MAX_DEPTH, cut_members
from nanogrid.local.grid import read_token
from nanogrid.queue import TaskQueue, open_queue
from nanogrid.rpc.client import open_stub
from nanogrid.v1.artifacts_pb2 import GetResultRequest
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from support.grid import Grid
from support.json_values import json_texts
from support.waiting import until

# Prints the very bytes of its event: a program's last line is its result.
ECHO = """
import os, sys
with open(os.environ["PAYLOAD_FILE"], "rb") as event:
    sys.stdout.buffer.write(event.read())
"""
AWKWARD = [
    b"1180591620717411303424",
    b"[18446744073709551616,-9223372036854775809,1.0000000000000000000000001,1E+2,-0.0,1e400]",
    rb'{"\u0061":"\/\ud83d\ude00\u0000","a":1,"a":2,"":[]}',
    '"한글 é 😀 \u2028\ufeff"'.encode(),
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    b'{"a":' * 300 + b"1" + b"}" * 300,
    b'[ 1 ,\t{ "b" : null } ]',
    b'"' + b"x" * 300_000 + b'"',  # too large for its message, and its record for Redis
]
ANY_JSON = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def echo(grid: Grid) -> str:
    return _echo_of(grid)


_ECHOES: dict[str, str] = {}


def _echo_of(grid: Grid) -> str:
    if grid.url not in _ECHOES:
        _ECHOES[grid.url] = grid.upload(ECHO, "echo.py")
    return _ECHOES[grid.url]


def call(grid: Grid, function_id: str, payload: bytes, *, camel: bool = False, **headers: str) -> bytes:
    names = (b"functionId", b"inputData") if camel else (b"function_id", b"payload")
    body = b'{"%b":"%b", "%b" :\n%b\n}' % (names[0], function_id.encode(), names[1], payload)
    answer = grid.http.post("/run", content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code in (200, 202), answer.text
    return answer.content


def result_of(answer: bytes) -> bytes:
    members = cut_members(answer)
    assert members["status"] in (b'"completed"', b'"SUCCESS"'), answer[:1000]
    return members["result"]


async def kept_by(grid: Grid, job_id: str) -> bytes:
    """The durable result, once it is kept."""
    async with open_stub(ArtifactsServiceStub, grid.address("artifacts"), token=read_token(grid.folder)) as artifacts:
        records: list[bytes] = []

        async def look() -> bool:
            with suppress(NotFoundError):
                records.append((await artifacts.GetResult(GetResultRequest(job_id=job_id))).record)
            return bool(records)

        await until(look)
    return records[0]


@pytest.mark.parametrize("payload", AWKWARD, ids=range(len(AWKWARD)))
async def test_awkward_json_comes_back_as_it_was_sent_by_every_road(grid: Grid, echo: str, payload: bytes) -> None:
    assert result_of(call(grid, echo, payload)) == payload
    assert result_of(call(grid, echo, payload, camel=True)) == payload

    job_id = json.loads(call(grid, echo, payload, **{"x-async": "true"}))["job_id"]
    grid.wait(job_id)
    assert result_of(grid.http.get(f"/status/{job_id}").content) == payload
    assert grid.http.get("/jobs").status_code == 200
    assert cut_members(await kept_by(grid, job_id))["result"] == payload


@given(payload=json_texts())
@ANY_JSON
def test_any_json_comes_back_in_both_dialects(grid: Grid, payload: bytes) -> None:
    echo = _echo_of(grid)

    assert result_of(call(grid, echo, payload)) == payload
    assert result_of(call(grid, echo, payload, camel=True)) == payload


@pytest.fixture
async def queue(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TaskQueue]:
    for name, value in grid.env.items():
        monkeypatch.setenv(name, value)
    async with open_queue(grid.queue_url, f"by-hand-{uuid.uuid4()}") as opened:
        yield opened


@pytest.mark.parametrize(("id_name", "payload_name"), [("job_id", "payload"), ("requestId", "inputData")])
async def test_a_payload_put_on_the_queue_by_hand_is_not_touched(
    grid: Grid, queue: TaskQueue, echo: str, id_name: str, payload_name: str
) -> None:
    payload, job_id = b'[ 2.50, 18446744073709551616, "\\u00e9" ]', f"job-{uuid.uuid4()}"
    function_name = "functionId" if id_name == "requestId" else "function_id"

    await queue.send(
        b'{"%b":"%b","%b":"%b","%b": %b}'
        % (id_name.encode(), job_id.encode(), function_name.encode(), echo.encode(), payload_name.encode(), payload)
    )
    await until(lambda: grid.http.get(f"/status/{job_id}").status_code == 200)
    grid.wait(job_id)

    assert result_of(grid.http.get(f"/status/{job_id}").content) == payload


def test_a_result_beyond_the_depth_is_the_functions_failure(grid: Grid) -> None:
    too_deep = grid.upload(f"print('[' * {MAX_DEPTH + 1} + ']' * {MAX_DEPTH + 1})", "deep.py")

    job = grid.run(too_deep)

    assert (job["status"], job["error"]["type"]) == ("failed", "ResultInvalid"), job
    assert f"more than {MAX_DEPTH} levels" in job["error"]["message"]


@pytest.fixture
def redis(grid: Grid) -> Iterator[Redis]:
    with Redis.from_url(str(grid.described("redis_url"))) as client:
        yield client


DAMAGE = {
    "no JSON": b"{oops",
    "of another version": b'{"job_id":"x","status":"EVAPORATED"}',
    "too deep": b'{"result":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "no text": b"\xff\xfe",
}


@pytest.mark.backends("embedded")
@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_record_is_shown_with_what_is_known_and_breaks_no_list(
    grid: Grid, echo: str, redis: Redis, damage: str
) -> None:
    damaged, sound = (json.loads(call(grid, echo, b"1"))["job_id"] for _ in range(2))
    await kept_by(grid, damaged)
    redis.hset(f"job:{damaged}", "record", DAMAGE[damage])
    before = counted(grid)

    listed = {
        job["job_id"]: job for job in grid.http.get("/jobs", params={"limit": 100}).raise_for_status().json()["jobs"]
    }

    assert listed[damaged]["damaged"] is True
    assert (listed[damaged]["status"], listed[damaged]["function_id"]) == ("completed", echo)
    assert "damaged" not in listed[sound]
    assert counted(grid) > before
    # Its durable result is whole.
    read = grid.http.get(f"/status/{damaged}")
    assert (read.status_code, result_of(read.content)) == (200, b"1")


@pytest.mark.backends("embedded")
async def test_a_key_that_holds_another_type_breaks_no_list(grid: Grid, echo: str, redis: Redis) -> None:
    job_id = json.loads(call(grid, echo, b"1"))["job_id"]
    await kept_by(grid, job_id)
    redis.delete(f"job:{job_id}")
    redis.set(f"job:{job_id}", "not a hash")

    listed = {job["job_id"]: job for job in grid.http.get("/jobs").raise_for_status().json()["jobs"]}

    assert (listed[job_id]["status"], listed[job_id]["damaged"]) == ("unknown", True)
    assert grid.http.get(f"/status/{job_id}").json()["result"] == 1


def counted(grid: Grid) -> float:
    lines = grid.http.get("/metrics").text.splitlines()
    [line] = [one for one in lines if one.startswith("nanogrid_gateway_damaged_records_total")]
    return float(line.split()[-1])
