"""POST /run, GET /status, GET /jobs: calling functions, in both spellings."""

import asyncio
import json

import httpx
import pytest
import pytest_asyncio

from nanogrid.errors import InternalError, InvalidFieldError, RateLimitedError, UnavailableError
from nanogrid.v1.registry_pb2 import CreateFunctionRequest
from nanogrid.v1.resources_pb2 import Dialect, JobError, JobState, OutputFile
from support.callers import calling
from support.functions import a_function
from support.gateway_grid import gateway_grid
from support.rest import refused
from support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


def run(grid, body, **headers):
    return grid.http.post("/run", json=body, headers=headers)


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
    async with httpx.AsyncClient(
        base_url=grid.url, headers=grid.http.headers, trust_env=False, verify=False
    ) as impatient:
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
