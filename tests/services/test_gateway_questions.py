"""POST /run: what may be asked, and what is refused before the invoker hears of it."""

import json

import pytest
import pytest_asyncio

from support.gateway_grid import gateway_grid
from support.rest import refused

JSON = {"content-type": "application/json"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid"), gateway_payload_bytes=100_000) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


def run(grid, body, **headers):
    return grid.http.post("/run", json=body, headers=headers)


def raw(grid, body, **headers):
    return grid.http.post("/run", content=body, headers=JSON | headers)


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

    deep = await raw(grid, head + b"[" * 512 + b"]" * 512 + b"}")
    too_deep = await raw(grid, head + b"[" * 513 + b"]" * 513 + b"}")
    bottomless = await raw(grid, head + b"[" * 10_000 + b"]" * 10_000 + b"}")

    assert deep.status_code == 200, deep.text
    assert "512 levels" in refused(too_deep, 400, "payload")["detail"]
    assert "512 levels" in refused(bottomless, 400, "body")["detail"]


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
    ("body", "meant"),
    [
        ({"functionid": "x"}, "function_id"),
        ({"function-id": "x", "payload": {}}, "function_id"),
        ({"FUNCTION_ID": "x"}, "function_id"),
        ({"functon_id": "x"}, "function_id"),
        ({"id": "x"}, "function_id"),
        ({"name": "x"}, "function_name"),
        ({"function_id": "x", "event": {}}, "payload"),
        ({"function_id": "x", "paylod": {}}, "payload"),
        ({"functionId": "x", "InputData": {}}, "inputData"),
        ({"functionId": "x", "input": {}}, "inputData"),
        ({"functionId": "x", "functionname": "y"}, "functionName"),
    ],
)
async def test_a_misspelt_field_is_answered_with_the_one_that_was_meant(grid, body, meant):
    answer = await run(grid, body)

    assert answer.status_code == 400
    assert answer.json()["detail"].endswith(f"did you mean {meant!r}?")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"function_id": "x", "payload": NaN}',
        b'{"function_id": "x", "payload": "\\ud800"}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"function_id": "x"} trailing',
        b"[" * 100_000,
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(grid, body):
    refused(await raw(grid, body), 400, "body")


@pytest.mark.parametrize(("kind", "status"), [("text/plain", 415), ("application/x-www-form-urlencoded", 415)])
async def test_a_body_of_another_kind_is_refused(grid, kind, status):
    refused(await raw(grid, b"{}", **{"content-type": kind}), status, "Content-Type")


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
