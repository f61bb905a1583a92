"""What becomes of a message that was put on the queue by hand: completed, kept apart, or refused."""

import json
import unicodedata
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nanogrid.errors import InternalError, NanoGridError, NotFoundError, UnavailableError
from nanogrid.jobs.message import MalformedError, Message, decode, encode
from nanogrid.v1.resources_pb2 import Dialect, Function, Job, SandboxMode
from services.executor.delivery.by_hand import MessageCompleter
from services.executor.settings import ExecutorSettings

FUNCTION_ID = "123e4567-e89b-42d3-a456-426614174000"
KEY = f"functions/{FUNCTION_ID}/code.zip"
SHA, OTHER_SHA = "a" * 64, "b" * 64


class Backends:
    """Stands for registry and artifacts: functions and digests by key, and the error to answer with instead."""

    def __init__(self) -> None:
        self.function = Function(
            function_id=FUNCTION_ID,
            owner="alice",
            runtime="python3.11",
            handler="main.handler",
            s3_key=KEY,
            code_sha256=SHA,
            timeout_s=7,
            memory_mb=256,
            env={"SECRET": "x"},
            mode=SandboxMode.SANDBOX_MODE_FRESH,
            max_concurrency=2,
        )
        self.digests = {KEY: SHA, "other.zip": OTHER_SHA}
        self.error: NanoGridError | None = None
        self.asked: list[str] = []

    async def find(self, function_id: str) -> Function:
        self.asked.append(function_id)
        if self.error is not None:
            raise self.error
        if function_id != FUNCTION_ID:
            raise NotFoundError("no such function")
        return self.function

    async def fetch_bundle(self, key: str) -> AsyncIterator[str | bytes]:
        self.asked.append(key)
        if key not in self.digests:
            raise NotFoundError(key)
        yield self.digests[key]
        raise AssertionError("only the digest was to be read")


@pytest.fixture
def backends() -> Backends:
    return Backends()


@pytest.fixture
def completer(backends: Backends) -> MessageCompleter:
    return MessageCompleter(backends.find, backends, "code-bucket")


def message(**fields: Any) -> Message:
    return decode(json.dumps({"job_id": "j", "function_id": FUNCTION_ID} | fields).encode())


def camel(**fields: Any) -> Message:
    return decode(json.dumps({"requestId": "j", "functionId": FUNCTION_ID} | fields).encode())


async def test_a_task_of_the_invokers_is_left_as_it_is(completer: MessageCompleter, backends: Backends) -> None:
    task = decode(encode(Message(Job(job_id="j", owner="bob"), backends.function, b"{}")))

    assert await completer.complete(task) is task
    assert backends.asked == []


async def test_a_message_belongs_to_its_functions_owner_and_takes_the_rest_from_it(
    completer: MessageCompleter, backends: Backends
) -> None:
    task = await completer.complete(message(payload=[1], timeout=0))

    expected = Function()
    expected.CopyFrom(backends.function)
    expected.timeout_s = 0
    assert task.function == expected
    assert (task.job.owner, task.job.runtime, task.job.memory_mb) == ("alice", "python3.11", 256)
    assert (task.job.s3_key, task.job.code_sha256, task.payload) == (KEY, SHA, b"[1]")
    assert task.job.created_at.seconds
    assert task.job.created_at.nanos % 1_000_000 == 0


async def test_a_camel_case_message_runs_in_the_functions_own_sandboxes(
    completer: MessageCompleter, backends: Backends
) -> None:
    task = await completer.complete(
        camel(runtime="python", s3Bucket="code-bucket", s3Key=KEY, timeoutMs=1001, memoryMb=128)
    )

    own = decode(encode(Message(Job(job_id="j", owner="alice"), backends.function, b"{}")))
    assert (task.identity, task.function.runtime) == (own.identity, "python3.11")
    assert task.identity
    assert (task.function.timeout_s, task.function.memory_mb, task.job.memory_mb) == (2, 128, 128)
    assert task.job.dialect == Dialect.DIALECT_CAMEL


@pytest.mark.parametrize("runtime", ["cpp", "go"])
async def test_main_handler_is_the_main_file_of_a_compiled_program_and_shares_its_sandboxes(
    completer: MessageCompleter, backends: Backends, runtime: str
) -> None:
    backends.function.runtime, backends.function.handler = runtime, f"main.{runtime}"

    by_hand = await completer.complete(message(handler="main.handler"))
    inline = await completer.complete(message(runtime=runtime, handler="main.handler", code="int main() {}"))

    own = decode(encode(Message(Job(job_id="j", owner="alice"), backends.function, b"{}")))
    assert by_hand.function.handler == inline.function.handler == f"main.{runtime}"
    assert by_hand.identity == own.identity


async def test_another_bucket_is_refused_by_both_names(completer: MessageCompleter, backends: Backends) -> None:
    with pytest.raises(MalformedError, match=r"'code-bucket' only, not from 'elsewhere'"):
        await completer.complete(camel(s3Bucket="elsewhere", s3Key=KEY))
    assert backends.asked == []


@pytest.mark.parametrize(
    "changed",
    [
        {"s3_key": "other.zip"},
        {"handler": "main.other"},
        {"runtime": "python3.9"},
        {"runtime": "nodejs"},
        {"env": {"SECRET": "y"}},
        {"mode": 1},
        {"code": "print(1)"},
    ],
)
async def test_what_differs_from_the_function_never_shares_its_sandboxes(
    completer: MessageCompleter, changed: dict[str, Any]
) -> None:
    own = await completer.complete(message())

    task = await completer.complete(message(**changed))

    assert task.identity != own.identity
    assert (task.job.function_id, task.job.owner) == (FUNCTION_ID, "alice")


async def test_only_the_very_same_code_of_the_very_same_function_shares_a_sandbox(completer: MessageCompleter) -> None:
    asked = [
        message(code="print(1)"),
        message(code="print(2)"),
        message(code="print(1)", handler="a.b"),
        message(code="print(1)", runtime="nodejs"),
        message(code="print(1)", env={"B": "1"}),
        message(code="print(1)", function_id="unknown"),
        message(function_id="unknown", s3_key="other.zip", runtime="python"),
        message(function_id="unknown-2", s3_key="other.zip", runtime="python"),
        message(s3_key="other.zip"),
    ]

    keys = [(await completer.complete(task)).identity for task in asked]

    assert len(set(keys)) == len(asked)
    again = message(code="print(1)", job_id="another", timeout=9, memory_mb=64)
    assert (await completer.complete(again)).identity == keys[0]


async def test_code_that_changed_under_its_key_gets_another_sandbox(
    completer: MessageCompleter, backends: Backends
) -> None:
    asked = message(function_id="unknown", s3_key="other.zip", runtime="python")
    before = await completer.complete(asked)
    backends.digests["other.zip"] = SHA

    after = await completer.complete(asked)

    assert (before.function.code_sha256, after.function.code_sha256) == (OTHER_SHA, SHA)
    assert before.identity != after.identity


async def test_a_digest_is_never_taken_from_the_message(completer: MessageCompleter) -> None:
    own = await completer.complete(message(code_sha256=OTHER_SHA))
    other = await completer.complete(message(code_sha256=SHA, s3_key="other.zip"))

    assert (own.function.code_sha256, other.function.code_sha256) == (SHA, OTHER_SHA)


async def test_an_unknown_functions_code_runs_locally_with_defaults(completer: MessageCompleter) -> None:
    task = await completer.complete(camel(functionId="f", runtime="python", s3Key="other.zip"))

    assert (task.job.owner, task.job.function_id, task.job.s3_key) == ("local", "f", "other.zip")
    assert (task.function.timeout_s, task.function.memory_mb, task.function.handler) == (300, 512, "")
    assert task.function.mode == SandboxMode.SANDBOX_MODE_REUSE


async def test_inline_code_runs_without_any_function(completer: MessageCompleter, backends: Backends) -> None:
    task = await completer.complete(decode(b'{"job_id":"j","code":"print(1)"}'))

    assert (task.job.owner, task.job.function_id, task.function.runtime) == ("local", "", "python")
    assert backends.asked == []


async def test_inline_code_takes_settings_from_its_function_and_no_bundle(completer: MessageCompleter) -> None:
    task = await completer.complete(message(code="print(1)"))

    assert (task.function.runtime, task.function.handler) == ("python3.11", "main.handler")
    assert dict(task.function.env) == {"SECRET": "x"}
    assert (task.function.s3_key, task.function.code_sha256, task.job.s3_key, task.job.code_sha256) == ("",) * 4


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "function unknown is unknown, and the message names no code"),
        ({"s3_key": "other.zip"}, "runtime is missing"),
    ],
)
async def test_neither_function_nor_code_is_garbage(
    completer: MessageCompleter, fields: dict[str, str], named: str
) -> None:
    with pytest.raises(MalformedError, match=named):
        await completer.complete(message(function_id="unknown", **fields))


async def test_code_that_is_not_there_is_for_the_run_to_find(completer: MessageCompleter) -> None:
    task = await completer.complete(message(s3_key="missing.zip"))

    assert (task.function.s3_key, task.function.code_sha256) == ("missing.zip", "")


@pytest.mark.parametrize("error", [UnavailableError("down"), InternalError("ours")])
async def test_while_nobody_can_say_the_message_waits(
    completer: MessageCompleter, backends: Backends, error: NanoGridError
) -> None:
    backends.error = error

    with pytest.raises(UnavailableError):
        await completer.complete(message())


async def test_the_registrys_function_is_left_as_it_is(completer: MessageCompleter, backends: Backends) -> None:
    before = backends.function.SerializeToString(deterministic=True)

    await completer.complete(message(s3_key="other.zip", env={"B": "1"}, memory_mb=64))

    assert backends.function.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("env", "bucket"),
    [
        ({}, "nanogrid-code-bucket"),
        ({"S3_BUCKET": "a"}, "a"),
        ({"S3_BUCKET": "a", "S3_CODE_BUCKET": "b"}, "b"),
        ({"S3_BUCKET": "a", "S3_CODE_BUCKET": "b", "NANOGRID_EXECUTOR_CODE_BUCKET": "c"}, "c"),
    ],
)
def test_the_bucket_is_the_one_that_artifacts_is_told_of(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], bucket: str
) -> None:
    for name in ("S3_BUCKET", "S3_CODE_BUCKET", "NANOGRID_EXECUTOR_CODE_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert ExecutorSettings().executor_code_bucket == bucket


@pytest.mark.parametrize("runtime", ["python3.11", "nodejs18.x", "cpp", "go"])
async def test_a_handler_copied_from_a_file_name_on_a_mac_is_the_one_that_is_typed(
    completer: MessageCompleter, runtime: str
) -> None:
    typed, copied = (unicodedata.normalize(form, "함수.handler") for form in ("NFC", "NFD"))

    both = [await completer.complete(message(runtime=runtime, handler=one)) for one in (typed, copied)]

    assert (
        both[0].function.handler == both[1].function.handler == unicodedata.normalize("NFC", both[0].function.handler)
    )
    assert both[0].identity == both[1].identity, "they share a sandbox"
