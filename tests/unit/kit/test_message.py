"""Queue messages: the invoker's own, and the shapes in which they are put on the queue by hand."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.jobs.identity import identify
from nanogrid.jobs.message import MalformedError, Message, decode, encode
from nanogrid.v1.resources_pb2 import Dialect, Function, Job, JobState, SandboxMode
from services.artifacts.keys import output_key
from support.json_values import nested

SHA = "0123456789abcdef" * 4


def a_task(payload: bytes = b'{"a":1}', **fields: Any) -> Message:
    known: dict[str, Any] = {
        "function_id": "f-1",
        "function_name": "안녕",
        "owner": "alice",
        "runtime": "python3.11",
        "handler": "main.handler",
        "s3_key": "functions/f-1/code.zip",
        "code_sha256": SHA,
        "timeout_s": 0,
        "memory_mb": 256,
        "env": {"A": "1"},
        "mode": SandboxMode.SANDBOX_MODE_FRESH,
        "max_concurrency": 3,
        "egress": True,
        "auto_memory": True,
    }
    function = Function(**(known | fields))
    job = Job(
        job_id="job-1",
        function_id="f-1",
        owner="alice",
        state=JobState.JOB_STATE_PENDING,
        dialect=Dialect.DIALECT_CAMEL,
        runtime="python3.11",
        memory_mb=256,
        s3_key=function.s3_key,
        code_sha256=SHA,
    )
    job.created_at.FromMilliseconds(1_700_000_000_123)
    return Message(job, function, payload)


def camel(**fields: Any) -> bytes:
    known = {
        "requestId": "r-1",
        "functionId": "f-1",
        "runtime": "python",
        "s3Bucket": "bucket",
        "s3Key": "functions/f-1/code.zip",
        "timeoutMs": 1500,
        "memoryMb": 256,
    }
    return json.dumps(known | fields).encode()


def inline(**fields: Any) -> bytes:
    return json.dumps({"job_id": "j-1", "function_id": "f-1", "code": "print(1)"} | fields).encode()


def test_what_is_encoded_is_decoded() -> None:
    task = a_task()

    read = decode(encode(task))

    assert read.identity == identify(task.function)
    assert replace(read, identity="") == task


def test_a_payload_in_artifacts_is_named_and_not_carried() -> None:
    body = encode(a_task(b'"huge"'), payload_elsewhere=True)

    task = decode(body)

    assert (task.payload_elsewhere, task.payload) == (True, b"")
    assert orjson.loads(body)["payload_in_artifacts"] is True
    assert b"huge" not in body


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"null",
        b'{"n":123456789012345678901234567890,"f":1.0,"e":1E+2}',
        b'{"true,":"x","payload":{"payload":true},"z":"\\",\\"payload\\":"}',
        b"[" * 512 + b"]" * 512,
        b' [1, 2.50,\t{"a" :"\\u0041\\/"} ]'.strip(),
        '{"이름":"값"}'.encode(),
    ],
)
@pytest.mark.parametrize("env", [{}, {"payload": "1", "B": 'true,"payload":0'}])
def test_a_payload_arrives_byte_for_byte(payload: bytes, env: dict[str, str]) -> None:
    task = decode(encode(a_task(payload, env=env)))

    assert task.payload == payload
    assert dict(task.function.env) == env


def test_messages_of_before_a_field_was_added_are_understood() -> None:
    known = {"job_id": "j", "function_id": "f", "owner": "alice", "runtime": "python3.11", "handler": "main.handler"}

    task = decode(orjson.dumps(known | {"s3_key": "k"}))

    assert (task.function.timeout_s, task.function.memory_mb, task.payload) == (300, 512, b"{}")
    assert task.function.mode == SandboxMode.SANDBOX_MODE_REUSE
    assert task.job.dialect == Dialect.DIALECT_STANDARD


def test_a_camel_case_message_is_answered_in_camel_case() -> None:
    task = decode(camel(inputData={"a": 1}))

    assert (task.job.job_id, task.job.function_id, task.job.owner) == ("r-1", "f-1", "")
    assert task.job.dialect == Dialect.DIALECT_CAMEL
    assert (task.function.runtime, task.function.s3_key) == ("python", "functions/f-1/code.zip")
    assert (task.code_bucket, task.payload) == ("bucket", b'{"a": 1}')
    assert task.function.memory_mb == 256


@pytest.mark.parametrize(("given_ms", "seconds"), [(0, 0), (1, 1), (1000, 1), (1500, 2), (604_800_000, 604_800)])
def test_a_time_limit_in_milliseconds_is_kept_to_the_millisecond(given_ms: int, seconds: int) -> None:
    message = decode(camel(timeoutMs=given_ms))
    function = message.function

    assert function.HasField("timeout_s")
    assert function.timeout_s == seconds
    assert message.timeout_s == (given_ms / 1000 or None)


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({}, b"{}"),
        ({"payload": [1]}, b"[1]"),
        ({"inputData": None}, b"null"),
        ({"inputData": 1, "payload": 2}, b"1"),
    ],
)
def test_the_event_of_a_camel_case_message(fields: dict[str, Any], payload: bytes) -> None:
    assert decode(camel(**fields)).payload == payload


def test_inline_code_travels_in_the_message() -> None:
    task = decode(inline(code="print('안녕')", handler="app.run", memory_mb=64))

    assert task.inline_code == "print('안녕')".encode()
    assert (task.job.job_id, task.job.function_id, task.job.owner) == ("j-1", "f-1", "")
    assert (task.function.handler, task.function.memory_mb) == ("app.run", 64)
    assert task.job.dialect == Dialect.DIALECT_STANDARD


def test_inline_code_needs_no_function() -> None:
    assert decode(orjson.dumps({"job_id": "j", "code": "1"})).job.function_id == ""


def test_what_a_message_by_hand_leaves_out_stays_unset() -> None:
    function = decode(b'{"job_id":"j","function_id":"f"}').function

    assert function == Function(function_id="f")
    assert not function.HasField("timeout_s")


@pytest.mark.parametrize("body", [camel(owner="alice", egress=True), inline(owner="alice", egress=True)])
def test_a_message_by_hand_neither_chooses_its_owner_nor_opens_the_network(body: bytes) -> None:
    task = decode(body)

    assert (task.job.owner, task.function.owner, task.function.egress) == ("", "", False)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"\x00 no", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "job_id is missing"),
        (b'{"job_id":""}', "job_id is missing"),
        (b'{"job_id":"j"}', "function_id is missing"),
        (b'{"job_id":"j","function_id":"f","owner":"a"}', "runtime is missing"),
        (b'{"functionId":"f"}', "requestId is missing"),
        (b'{"requestId":"f"}', "functionId is missing"),
        (camel(requestId="../x"), "requestId"),
        (camel(requestId=".."), "requestId"),
        (camel(requestId="a\nb"), "requestId"),
        (camel(requestId="a" * 129), "requestId"),
        (camel(requestId=5), "requestId is not a string"),
        (camel(functionId="a b"), "functionId"),
        (camel(s3Key="/etc/passwd"), "s3Key"),
        (camel(s3Key="a/../b"), "s3Key"),
        (camel(s3Key="가" * 400), "s3Key has 1200 bytes"),
        (camel(s3Bucket=[]), "s3Bucket"),
        (camel(timeoutMs=-1), "timeoutMs is -1"),
        (camel(timeoutMs=604_800_001), "timeoutMs is 604800001; use 0 to 604800000"),
        (camel(timeoutMs="1"), "timeoutMs is not a whole number"),
        (camel(timeoutMs=1.5), "timeoutMs is not a whole number"),
        (camel(timeoutMs=True), "timeoutMs is not a whole number"),
        (camel(timeoutMs=10**40), "timeoutMs is 1"),
        (camel(memoryMb=63), "memoryMb is 63; use 64 to 10240"),
        (camel(memoryMb=10_241), "memoryMb"),
        (camel(runtime=["python"]), "runtime is not a string"),
        (camel(inputData=float("nan")), "not JSON"),
        (camel(env=["A"]), "env"),
        (camel(env={"A": 1}), "env"),
        (camel(env={"A B": "1"}), "env"),
        (camel(env={"A": "\0"}), "env"),
        (camel(env={"A": "x" * 65_536}), "env is 65539 bytes together; the limit is 65536"),
        (camel(handler="../../etc/x.handler"), "handler"),
        (camel(handler="nodot"), "handler"),
        (camel(code_sha256="F" * 64), "code_sha256"),
        (inline(code=5), "code is not the text"),
        (inline(code=""), "code is not the text"),
        (inline(code="a\0b"), "code is not the text"),
        (inline(code="x" * 1_000_001), "code is 1000001 bytes; the limit is 1000000"),
        (inline(memory_mb=1), "memory_mb is 1"),
        (inline(timeout=604_801), "timeout is 604801"),
        (inline(mode=7), "mode is 7"),
        (inline(created_at=-1), "created_at is -1"),
        (inline(created_at=253_402_300_800_000), "created_at"),
        (inline(auto_memory=1), "auto_memory"),
        (
            b'{"job_id":"j","function_id":"f","payload":' + b"[" * 513 + b"]" * 513 + b"}",
            "is nested more than 512 levels",
        ),
    ],
)
def test_what_is_malformed_is_named(body: bytes, named: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode(body)

    assert named in str(caught.value)


@pytest.mark.parametrize("job_id", ["job-1", "A.b_c:d-9", "...", "x" * 128])
def test_the_jobs_taken_are_those_whose_outputs_artifacts_stores(job_id: str) -> None:
    assert decode(inline(job_id=job_id)).job.job_id == job_id
    assert output_key(job_id, "a.txt")


JSON = nested(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    names=st.text(max_size=10),
)
OURS = [
    "job_id",
    "function_id",
    "owner",
    "runtime",
    "handler",
    "s3_key",
    "timeout",
    "memory_mb",
    "payload",
    "created_at",
]
RARE = ["code_sha256", "env", "mode", "max_concurrency", "egress", "auto_memory", "payload_in_artifacts", "dialect"]
THEIRS = ["code", "requestId", "functionId", "s3Bucket", "s3Key", "timeoutMs", "memoryMb", "inputData", "function_name"]
NAMES = [*OURS, *RARE, *THEIRS]
LIKELY = st.sampled_from(["j", "f", "alice", "python3.11", "main.handler", "k", 64, 0, 300, 10**12, True, {"A": "b"}])
MESSAGES = st.dictionaries(st.sampled_from(NAMES), LIKELY | JSON, max_size=len(NAMES))


@given(JSON | MESSAGES | st.fixed_dictionaries(dict.fromkeys(["job_id", "function_id", "s3_key"], LIKELY)))
def test_any_json_is_a_message_or_malformed(message: Any) -> None:
    body = json.dumps(message).encode()

    try:
        task = decode(body)
    except MalformedError:
        return
    assert task.job.job_id
    assert task.payload_elsewhere or json.loads(task.payload) is not ...
    assert task.job.SerializeToString() + task.function.SerializeToString()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(body: bytes) -> None:
    for broken in (body, encode(a_task()) + body, encode(a_task())[: len(body)], body + b'true,"payload":1}'):
        try:
            decode(broken)
        except MalformedError:
            continue
