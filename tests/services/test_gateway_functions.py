"""Functions over REST: register, list, read, delete."""

import uuid

import pytest
import pytest_asyncio

from nanogrid.v1.registry_pb2 import CreateFunctionRequest
from support.callers import calling
from support.functions import a_function
from support.gateway_grid import gateway_grid
from support.rest import CODE, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


def register(grid, **body):
    known = {"function_name": "hello", "runtime": "python3.11", "handler": "main.handler", "s3_key": "shared/code.zip"}
    return grid.http.post("/functions", json=known | body)


async def test_code_in_the_bucket_is_registered_as_it_lies_there(grid):
    grid.artifacts.code["shared/code.zip"] = CODE

    answer = await register(grid, timeout=5, env={"A": "b"}, handler=None)

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["s3_key"], body["timeout"], body["handler"]) == ("shared/code.zip", 5, "main.handler")
    assert body["size_bytes"] == len(CODE)


async def test_a_registration_may_choose_its_id_once(grid):
    grid.artifacts.code["shared/code.zip"] = CODE
    function_id = str(uuid.uuid4())

    first, second = await register(grid, function_id=function_id), await register(grid, function_id=function_id)

    assert first.json()["function_id"] == function_id
    assert second.status_code == 409
    assert second.json()["reason"] == "CONFLICT"


async def test_code_put_where_an_upload_would_be_keeps_the_id_of_its_key(grid):
    function_id = str(uuid.uuid4())
    key = f"functions/{function_id}/code.zip"
    grid.artifacts.code[key] = CODE

    first, second = await register(grid, s3_key=key), await register(grid, s3_key=key)

    assert first.json()["function_id"] == function_id
    assert second.status_code == 201
    assert second.json()["function_id"] != function_id


async def test_code_put_by_hand_takes_the_name_of_its_folder_as_its_id(grid):
    for version in ("v1", "v2"):
        grid.artifacts.code[f"functions/hello-python/{version}.zip"] = CODE

    first = await register(grid, s3_key="functions/hello-python/v1.zip")
    second = await register(grid, s3_key="functions/hello-python/v2.zip", function_id="hello-python.v2")
    again = await register(grid, s3_key="functions/hello-python/v2.zip", function_id="hello-python")

    assert first.json()["function_id"] == "hello-python", first.text
    assert first.headers["location"] == "/functions/hello-python"
    assert second.json()["function_id"] == "hello-python.v2", second.text
    assert again.status_code == 409
    read = await grid.http.get("/functions/hello-python")
    assert read.json()["s3_key"] == "functions/hello-python/v1.zip"


async def test_another_owners_folder_cannot_be_registered(grid):
    await grid.registry.CreateFunction(
        CreateFunctionRequest(function=a_function(function_id="theirs", s3_key="functions/theirs/v1.zip"))
    )
    grid.artifacts.code["functions/theirs/v1.zip"] = CODE

    assert (await register(grid, s3_key="functions/theirs/v1.zip")).status_code == 409
    refused(await register(grid, s3_key="functions/theirs/v1.zip", function_id="mine"), 400, "s3_key")
    assert (await grid.http.get("/functions/theirs")).status_code == 404


async def test_another_owners_upload_cannot_be_registered(grid):
    victim = a_function()
    await grid.registry.CreateFunction(CreateFunctionRequest(function=victim))
    grid.artifacts.code[victim.s3_key] = CODE

    assert (await register(grid, s3_key=victim.s3_key)).status_code in (400, 409)
    refused(await register(grid, s3_key=victim.s3_key, function_id=str(uuid.uuid4())), 400, "s3_key")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"function_name": None}, "function_name"),
        ({"function_name": 7}, "function_name"),
        ({"function_name": ["a"]}, "function_name"),
        ({"runtime": None}, "runtime"),
        ({"runtime": {"a": 1}}, "runtime"),
        ({"runtime": "cobol"}, "runtime"),
        ({"handler": 1}, "handler"),
        ({"handler": "x"}, "handler"),
        ({"s3_key": None}, "s3_key"),
        ({"s3_key": ""}, "s3_key"),
        ({"s3_key": 1}, "s3_key"),
        ({"s3_key": "not/there.zip"}, "s3_key"),
        ({"function_id": 1}, "function_id"),
        ({"function_id": "x/y"}, "function_id"),
        ({"function_id": "{123e4567-e89b-42d3-a456-426614174000}"}, "function_id"),
        ({"function_id": "123e4567e89b42d3a456426614174000"}, "function_id"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": 1.5}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": 2**40}, "timeout"),
        ({"timeout": 10**40}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"egress": 1}, "egress"),
        ({"egress": True}, "egress"),
        ({"auto_memory": "true"}, "auto_memory"),
        ({"mode": "x"}, "mode"),
        ({"mode": 1}, "mode"),
        ({"env": []}, "env"),
        ({"env": {"A": 1}}, "env"),
        ({"env": {"A B": "1"}}, "env"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_bad_field_of_a_registration_is_named(grid, body, field):
    grid.artifacts.code["shared/code.zip"] = CODE

    refused(await register(grid, **body), 400, field)

    assert (await grid.http.get("/functions")).json()["functions"] == []


async def test_a_uuid_in_capitals_is_registered_in_its_canonical_form(grid):
    grid.artifacts.code["shared/code.zip"] = CODE
    function_id = str(uuid.uuid4())

    made = await register(grid, function_id=function_id.upper())
    again = await register(grid, function_id=function_id)

    assert made.json()["function_id"] == function_id, made.text
    assert again.status_code == 409


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"a": NaN}', b"\xff", b"[" * 2000, b"1" * 5000])
async def test_a_registration_that_is_no_json_object_is_refused(grid, body):
    refused(await grid.http.post("/functions", content=body), 400, "body")


async def test_a_registration_over_its_limit_is_refused_with_both_numbers(grid):
    answer = await register(grid, handler="x" * 300_000)

    assert refused(answer, 413, "body")["actual"] > 300_000


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
