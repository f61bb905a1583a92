"""POST /run, GET /status, GET /jobs: calling functions, in both spellings."""

import asyncio
import json

import httpx
import pytest

from nanogrid.errors import InternalError, InvalidFieldError, RateLimitedError, UnavailableError
from nanogrid.v1.registry_pb2 import CreateFunctionRequest
from nanogrid.v1.resources_pb2 import Dialect, JobError, JobState, OutputFile
from support.callers import calling
from support.functions import a_function
from support.gateway_grid import gateway_grid
from support.waiting import until

JSON = {"content-type": "application/json"}


@pytest.fixture
async def grid(tmp_path):
    async with gateway_grid(tmp_path, gateway_payload_bytes=100_000) as opened:
        yield opened


def run(grid, body, **headers):
    return grid.http.post("/run", json=body, headers=headers)


def raw(grid, body, **headers):
    return grid.http.post("/run", content=body, headers=JSON | headers)


def refused(answer, status, field):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().get("field") == field, answer.text
    return answer.json()


async def test_a_call_waits_for_its_result(grid):
    function_id = grid.invoker.will_end(
        result='{"body":"안녕, NanoGrid!"}'.encode(), stdout="hi\n", exit_code=0, execution_time_ms=1.5, cold_start=True
    )

    answer = await run(grid, {"function_id": function_id, "payload": {"name": "세계"}})

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "completed"
    assert body["result"] == {"body": "안녕, NanoGrid!"}
    assert (body["stdout"], body["exit_code"], body["execution_time_ms"], body["cold_start"]) == ("hi\n", 0, 1.5, True)
    assert body["output_files"] == []
    assert "error" not in body
    sent = grid.invoker.requests[-1]
    assert (sent.function_id, json.loads(sent.payload), sent.dialect) == (
        function_id,
        {"name": "세계"},
        Dialect.DIALECT_STANDARD,
    )
    assert grid.invoker.callers[-1].principal == "kim"


async def test_a_failing_function_is_data(grid):
    error = JobError(type="HandlerError", message="ValueError: no", stack="Traceback…")
    function_id = grid.invoker.will_end(state=JobState.JOB_STATE_FAILED, error=error)

    answer = await run(grid, {"function_id": function_id})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["result"]) == ("failed", None)
    assert body["error"] == {"type": "HandlerError", "message": "ValueError: no", "stack": "Traceback…"}


async def test_the_second_dialect_is_answered_in_its_own_spelling(grid):
    function_id = grid.invoker.will_end(
        result=b"[1]",
        exit_code=0,
        execution_time_ms=12.6,
        peak_memory_bytes=3 * 1024 * 1024 - 1,
        optimization_tip="64 MB would do.",
    )

    answer = await run(grid, {"functionId": function_id, "inputData": {"n": 1}})

    body = answer.json()
    assert body["requestId"].startswith("job-")
    assert (body["status"], body["result"], body["exitCode"]) == ("SUCCESS", [1], 0)
    assert (body["durationMillis"], body["peakMemoryMB"]) == (13, 2)
    assert body["optimizationTip"] == "💡 Tip: 64 MB would do."
    assert not any("_" in name for name in body)


async def test_the_second_dialect_is_kept_in_asynchronous_and_status_answers(grid):
    function_id = grid.invoker.will_end()

    accepted = await run(grid, {"functionId": function_id}, **{"x-async": "true"})
    status = await grid.http.get(accepted.headers["location"])

    assert accepted.status_code == 202
    assert accepted.json().keys() == {"requestId", "status", "message"}
    assert accepted.json()["status"] == "PENDING"
    assert status.json()["requestId"] == accepted.json()["requestId"]


async def test_an_asynchronous_call_says_where_to_ask(grid):
    function_id = grid.invoker.will_end(result=b"1")

    answer = await run(grid, {"function_id": function_id}, **{"X-Async": "true"})

    assert answer.status_code == 202
    body = answer.json()
    assert body == {
        "job_id": body["job_id"],
        "status": "pending",
        "message": f"Job submitted. Poll GET /status/{body['job_id']} for results.",
    }
    assert answer.headers["location"] == f"/status/{body['job_id']}"
    assert answer.headers["retry-after"]
    status = await grid.http.get(answer.headers["location"])
    assert (status.status_code, status.json()["job_id"]) == (200, body["job_id"])


@pytest.mark.parametrize("state", [JobState.JOB_STATE_PENDING, JobState.JOB_STATE_PROCESSING])
async def test_a_call_past_the_wait_answers_that_the_job_goes_on(grid, state):
    function_id = grid.invoker.will_end(state=state)

    answer = await run(grid, {"function_id": function_id})

    assert answer.status_code == 202
    assert answer.json()["status"] == {1: "pending", 2: "running"}[state]
    assert answer.headers["location"] == f"/status/{answer.json()['job_id']}"


async def test_a_function_may_be_called_by_the_name_of_its_newest(grid):
    with calling("kim"):
        created = await grid.registry.CreateFunction(CreateFunctionRequest(function=a_function(function_name="안녕")))
    grid.invoker.will_end(created.function.function_id, result=b"true")

    answer = await run(grid, {"function_name": "안녕"})

    assert answer.json()["result"] is True
    assert (await run(grid, {"functionName": "nothing"})).status_code == 404


@pytest.mark.parametrize(
    "payload",
    [None, True, 0, -1.5, "글", [], {}, {"a": [1, {"b": None}]}, 2**63, 10**30, -(10**20), {"n": 2**64}, "\u2028"],
)
async def test_a_payload_is_any_json_and_arrives_as_it_was(grid, payload):
    function_id = grid.invoker.will_end()

    answer = await run(grid, {"function_id": function_id, "payload": payload})

    assert answer.status_code == 200
    assert json.loads(grid.invoker.requests[-1].payload) == payload


async def test_a_deep_payload_arrives_and_a_bottomless_one_is_refused(grid):
    function_id = grid.invoker.will_end()
    head = b'{"function_id": "' + function_id.encode() + b'", "payload": '

    deep = await raw(grid, head + b"[" * 400 + b"]" * 400 + b"}")
    bottomless = await raw(grid, head + b"[" * 1010 + b"]" * 1010 + b"}")
    with_long_number = await raw(grid, head + b"[" * 1010 + b"1" * 30 + b"]" * 1010 + b"}")

    assert deep.status_code == 200, deep.text
    assert refused(bottomless, 400, "payload")
    assert refused(with_long_number, 400, "body")


async def test_without_a_payload_the_event_is_an_empty_object(grid):
    function_id = grid.invoker.will_end()

    await run(grid, {"function_id": function_id})

    assert grid.invoker.requests[-1].payload == b"{}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "function_id"),
        ({"payload": {}}, "function_id"),
        ({"inputData": {}}, "functionId"),
        ({"function_id": None}, "function_id"),
        ({"function_id": ""}, "function_id"),
        ({"function_id": 7}, "function_id"),
        ({"function_id": ["x"]}, "function_id"),
        ({"functionId": {}}, "functionId"),
        ({"function_name": 1}, "function_name"),
        ({"function_id": "x", "function_name": "y"}, "function_id"),
        ({"function_id": "x", "inputData": {}}, "inputData"),
        ({"functionId": "x", "payload": {}}, "functionId"),
        ({"function_id": "x", "functionId": "x"}, "functionId"),
        ({"function_id": "x", "pay_load": {}}, "pay_load"),
        ({"function_id": "x", "": 1}, ""),
        ({"functionId": "x", "input": 1}, "input"),
    ],
)
async def test_a_bad_question_is_refused_naming_the_field(grid, body, field):
    assert field in refused(await run(grid, body), 400, field)["detail"]
    assert grid.invoker.jobs == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"function_id": "x", "payload": NaN}',
        b'{"function_id": "x", "payload": 1e999}',
        b'{"function_id": "x", "payload": "\\ud800"}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"function_id": "x"} trailing',
        b"[" * 100_000,
        b'{"payload": ' + b"9" * 5000 + b"}",
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(grid, body):
    refused(await raw(grid, body), 400, "body")


@pytest.mark.parametrize(("kind", "status"), [("text/plain", 415), ("application/x-www-form-urlencoded", 415)])
async def test_a_body_of_another_kind_is_refused(grid, kind, status):
    refused(await raw(grid, b"{}", **{"content-type": kind}), status, None)


@pytest.mark.parametrize(
    "kind", ["", "application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"]
)
async def test_json_by_any_of_its_names_is_taken(grid, kind):
    function_id = grid.invoker.will_end()

    answer = await raw(grid, json.dumps({"function_id": function_id}).encode(), **{"content-type": kind})

    assert answer.status_code == 200, answer.text


async def test_a_payload_over_the_limit_is_refused_with_both_numbers_and_at_the_limit_taken(grid):
    function_id = grid.invoker.will_end()

    good = await run(grid, {"function_id": function_id, "payload": "x" * 99_998})
    bad = await run(grid, {"function_id": function_id, "payload": "x" * 99_999})

    assert good.status_code == 200
    body = refused(bad, 413, "payload")
    assert (body["limit"], body["actual"]) == (100_000, 100_001)


async def test_a_body_far_over_the_limit_is_refused_before_it_is_read(grid):
    body = refused(await raw(grid, b" " * 2_000_000), 413, "body")

    assert body["actual"] == 2_000_000


async def test_a_body_that_never_says_its_length_is_counted(grid):
    async def endless():
        for _ in range(40):
            yield b" " * 65_536

    answer = await grid.http.post("/run", content=endless(), headers=JSON)

    refused(answer, 413, "body")


@pytest.mark.parametrize("word", ["maybe", "tru", "2"])
async def test_an_x_async_that_says_neither_is_refused(grid, word):
    refused(await run(grid, {"function_id": "x"}, **{"x-async": word}), 400, "X-Async")


@pytest.mark.parametrize("asynchronous", ["true", "false"])
async def test_an_unknown_function_is_not_found_before_any_202(grid, asynchronous):
    answer = await run(grid, {"function_id": "nothing"}, **{"x-async": asynchronous})

    assert refused(answer, 404, None)["reason"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError("the queue is down; try again"), 503),
        (RateLimitedError("too many"), 429),
        (InvalidFieldError("payload", "is not liked"), 400),
        (InternalError("boom"), 500),
    ],
)
@pytest.mark.parametrize("asynchronous", ["true", "false"])
async def test_what_the_invoker_refuses_is_never_a_202(grid, error, status, asynchronous):
    grid.invoker.refusal = error

    answer = await run(grid, {"function_id": "x"}, **{"x-async": asynchronous})

    assert answer.status_code == status
    assert answer.json()["retryable"] is (status in (503, 429))
    assert ("retry-after" in answer.headers) is (status in (503, 429))


async def test_a_client_that_hangs_up_does_not_stop_the_job(grid):
    function_id = grid.invoker.will_end(result=b"1")
    grid.invoker.finished.clear()
    async with httpx.AsyncClient(base_url=grid.url, headers=grid.http.headers, trust_env=False) as impatient:
        call = asyncio.create_task(impatient.post("/run", json={"function_id": function_id}))
        await grid.invoker.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    grid.invoker.finished.set()

    await until(lambda: grid.invoker.answered == 1)
    job_id = next(iter(grid.invoker.jobs))
    assert (await grid.http.get(f"/status/{job_id}")).json()["result"] == 1


async def test_output_files_are_urls_at_the_address_the_client_used(grid):
    function_id = grid.invoker.will_end(
        output_files=[OutputFile(key="그림 1.png", size_bytes=3), OutputFile(key="a/b")]
    )

    body = (await run(grid, {"function_id": function_id})).json()

    assert [url.partition("?")[0] for url in body["output_files"]] == [
        f"{grid.url}/outputs/{body['job_id']}/%EA%B7%B8%EB%A6%BC%201.png",
        f"{grid.url}/outputs/{body['job_id']}/a/b",
    ]


async def test_urls_of_the_object_store_itself_are_passed_on(grid):
    grid.artifacts.absolute_links = True
    function_id = grid.invoker.will_end(output_files=[OutputFile(key="a")])

    body = (await run(grid, {"functionId": function_id})).json()

    assert body["outputFiles"][0].startswith("https://bucket.example/outputs/")


async def test_a_public_address_is_used_where_one_is_configured(tmp_path):
    async with gateway_grid(tmp_path, gateway_public_url="https://grid.example/") as grid:
        function_id = grid.invoker.will_end(output_files=[OutputFile(key="a")])

        body = (await run(grid, {"function_id": function_id})).json()

    assert body["output_files"][0].startswith("https://grid.example/outputs/")


async def test_a_finished_call_whose_links_cannot_be_made_is_not_called_a_failure(grid):
    function_id = grid.invoker.will_end(output_files=[OutputFile(key="a")])
    grid.artifacts.refusal = UnavailableError("down")

    answer = await run(grid, {"function_id": function_id})
    status = await grid.http.get(answer.headers["location"])

    assert answer.status_code == 202
    assert answer.json()["status"] == "completed"
    assert status.status_code == 503


async def test_status_and_jobs_read_the_same_job(grid):
    function_id = grid.invoker.will_end(result=b'{"a":1}', state=JobState.JOB_STATE_CANCELLED)
    job_id = (await run(grid, {"function_id": function_id})).json()["job_id"]

    status, job = await grid.http.get(f"/status/{job_id}"), await grid.http.get(f"/jobs/{job_id}")

    assert status.json() == job.json()
    assert status.json()["status"] == "cancelled"


@pytest.mark.parametrize("job_id", ["job-x", "%00", "%ff", "a%2Fb", "x" * 3000, "..", "%7B%7D"])
async def test_an_unknown_job_is_not_found(grid, job_id):
    assert (await grid.http.get(f"/status/{job_id}")).status_code == 404


async def test_jobs_are_listed_without_results_a_page_at_a_time(grid):
    function_id = grid.invoker.will_end(result=b"1", stdout="much", output_files=[OutputFile(key="a")])
    job_id = (await run(grid, {"functionId": function_id})).json()["requestId"]

    answer = await grid.http.get(f"/jobs?limit=7&cursor=abc&status=completed&function_id={function_id}")

    body = answer.json()
    assert body["next_cursor"] == "more"
    assert body["jobs"][0]["job_id"] == job_id
    assert body["jobs"][0]["status"] == "completed"
    assert not {"result", "stdout", "output_files"} & body["jobs"][0].keys()
    asked = grid.invoker.requests[-1]
    assert (asked.page_size, asked.page_token, asked.function_id, asked.state) == (
        7,
        "abc",
        function_id,
        JobState.JOB_STATE_SUCCESS,
    )


@pytest.mark.parametrize("path", ["/jobs", "/functions"])
@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "99999999999", "%00", "٣"])
async def test_a_limit_out_of_range_is_refused(grid, path, limit):
    refused(await grid.http.get(f"{path}?limit={limit}"), 400, "limit")


async def test_a_state_that_does_not_exist_is_refused_with_those_that_do(grid):
    assert "completed" in refused(await grid.http.get("/jobs?status=done"), 400, "status")["detail"]


async def test_functions_are_listed_by_page_and_by_name(grid):
    with calling("kim"):
        for number in range(3):
            function = a_function(function_name=f"f{number % 2}")
            await grid.registry.CreateFunction(CreateFunctionRequest(function=function))

    first = (await grid.http.get("/functions?limit=2")).json()
    second = (await grid.http.get(f"/functions?limit=2&cursor={first['next_cursor']}")).json()
    named = (await grid.http.get("/functions?name=f0")).json()
    nothing = (await grid.http.get("/functions?name=zzz")).json()

    ids = [one["function_id"] for one in first["functions"] + second["functions"]]
    assert len(set(ids)) == 3
    assert second["next_cursor"] is None
    assert named == {"functions": [first["functions"][0]], "next_cursor": None}
    assert nothing == {"functions": [], "next_cursor": None}
    refused(await grid.http.get("/functions?cursor=nonsense"), 400, "cursor")


async def test_one_function_is_read_by_its_id(grid):
    with calling("kim"):
        made = (await grid.registry.CreateFunction(CreateFunctionRequest(function=a_function()))).function

    assert (await grid.http.get(f"/functions/{made.function_id}")).json()["function_id"] == made.function_id
    for unknown in ("x", "%00", "x" * 3000):
        assert (await grid.http.get(f"/functions/{unknown}")).status_code == 404


async def test_deleting_a_function_is_the_invokers_business(grid):
    function_id = grid.invoker.will_end()

    deleted = await grid.http.delete(f"/functions/{function_id}")
    unknown = await grid.http.delete("/functions/nothing")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert grid.invoker.retired == [function_id]
    refused(unknown, 404, None)
