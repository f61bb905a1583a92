"""Idempotency-Key on POST /upload and POST /functions: asked twice, made once."""

import asyncio
import uuid

import httpx
import pytest

from nanogrid.errors import ArchiveRejectedError, InvalidFieldError
from nanogrid.v1.registry_pb2 import DeleteFunctionRequest
from support.idempotency import GOOD, functions_of, register
from support.rest import CODE, FIELDS, MULTIPART, by_hand, field_part, file_part, refused, upload
from support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_upload_sent_again_is_answered_with_the_same_function(grid, key):
    first = await upload(grid, headers=key)
    again = await upload(grid, headers=key)

    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert grid.artifacts.begun == 1
    assert await functions_of(grid) == [first.json()]


async def test_without_a_key_every_upload_is_a_function(grid):
    first, second = await upload(grid), await upload(grid)

    assert first.json()["function_id"] != second.json()["function_id"]


async def test_the_same_upload_may_be_written_in_another_way(grid, key):
    first = await upload(grid, FIELDS | {"timeout": "5"}, headers=key)
    body = by_hand(field_part("timeout", b"5"), file_part(), *GOOD)

    again = await grid.http.post("/upload", content=body, headers=MULTIPART | key)

    assert again.json() == first.json()


@pytest.mark.parametrize(
    ("fields", "file"),
    [
        (FIELDS, ("hello.py", CODE + b"#")),
        (FIELDS, ("other.py", CODE)),
        (FIELDS | {"function_name": "other"}, ("hello.py", CODE)),
        (FIELDS | {"memory_mb": "512"}, ("hello.py", CODE)),
    ],
)
async def test_something_else_under_the_same_key_is_refused_and_leaves_nothing(grid, key, fields, file):
    first = await upload(grid, headers=key)

    answer = await upload(grid, fields, file, headers=key)

    assert refused(answer, 422, "Idempotency-Key")["reason"] == "UNPROCESSABLE"
    assert grid.artifacts.begun == 1
    assert await functions_of(grid) == [first.json()]
    assert (await upload(grid, headers=key)).json() == first.json()


async def test_while_an_upload_is_under_way_its_key_is_a_conflict_at_once(grid, key):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly():
        yield by_hand(*GOOD, file_part(), end=b"")[:-2]
        begun.set()
        await go_on.wait()
        yield b"\r\n--B--\r\n"

    slow = asyncio.create_task(grid.http.post("/upload", content=slowly(), headers=MULTIPART | key))
    await begun.wait()
    await until(lambda: grid.artifacts.begun)

    assert refused(await upload(grid, headers=key), 409, "Idempotency-Key")["reason"] == "CONFLICT"
    go_on.set()

    first = await slow
    assert first.status_code == 201, first.text
    assert (await upload(grid, headers=key)).json() == first.json()


async def test_of_many_at_once_one_makes_the_function(grid, key):
    answers = await asyncio.gather(*(upload(grid, headers=key) for _ in range(6)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    made = {answer.json()["function_id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert len(grid.artifacts.code) == 1
    assert {one["function_id"] for one in await functions_of(grid)} == made


@pytest.mark.parametrize(
    ("fields", "file"),
    [
        ({"function_name": "hello"}, ("hello.py", CODE)),  # known once the whole form is read
        (FIELDS | {"memory_mb": "63"}, ("hello.py", CODE)),  # known to the registry only
        (FIELDS, ("hello.txt", CODE)),  # known before the file is read
        (FIELDS, ("hello.py", b"x" * 3_000_000)),  # known before the form is read
        (FIELDS, ("hello.py", b"")),
    ],
)
async def test_an_upload_that_was_refused_frees_its_key(grid, key, fields, file):
    assert (await upload(grid, fields, file, headers=key)).status_code in (400, 413)

    answer = await upload(grid, headers=key)

    assert answer.status_code == 201, answer.text
    assert len(grid.artifacts.code) == 1


async def test_an_archive_that_was_rejected_frees_its_key(grid, key):
    grid.artifacts.refusal = ArchiveRejectedError("no")
    assert (await upload(grid, headers=key)).status_code == 400
    grid.artifacts.refusal = None

    assert (await upload(grid, headers=key)).status_code == 201


async def test_a_client_that_goes_away_in_the_middle_frees_its_key(grid, key):
    host, port = httpx.URL(grid.url).host, httpx.URL(grid.url).port
    _, writer = await asyncio.open_connection(host, port)
    head = (
        f"POST /upload HTTP/1.1\r\nhost: x\r\nauthorization: {grid.http.headers['authorization']}\r\n"
        f"idempotency-key: {key['idempotency-key']}\r\n"
        "content-type: multipart/form-data; boundary=B\r\ncontent-length: 2000000\r\n\r\n"
    )
    writer.write(head.encode() + by_hand(*GOOD, file_part(b"x" * 1_000_000), end=b"")[:-2])
    await until(lambda: grid.artifacts.largest_chunk > 0)

    writer.close()
    await writer.wait_closed()
    await until(lambda: grid.artifacts.deleted == 1)

    answer = await upload(grid, headers=key)
    assert answer.status_code == 201, answer.text


async def test_another_callers_key_is_another(grid, key):
    mine = await upload(grid, headers=key)

    theirs = await upload(grid, headers=key | await grid.key_of("lee"))

    assert (mine.json()["owner"], theirs.json()["owner"]) == ("kim", "lee")


async def test_a_key_is_free_once_its_function_is_deleted(grid, key):
    first = (await upload(grid, headers=key)).json()["function_id"]
    await grid.registry.DeleteFunction(DeleteFunctionRequest(function_id=first))

    again = await upload(grid, file=("hello.py", b"x = 1"), headers=key)

    assert again.status_code == 201, again.text
    assert again.json()["function_id"] != first


@pytest.mark.parametrize("bad", ["", "a b", "\xe9", "x" * 256])
async def test_a_key_that_cannot_be_one_is_refused(grid, bad):
    key = {"idempotency-key": bad.encode("latin-1")}

    refused(await upload(grid, headers=key), 400, "Idempotency-Key")
    refused(await register(grid, key), 400, "Idempotency-Key")

    assert grid.artifacts.begun == 0


async def test_two_keys_are_refused(grid):
    headers = [("idempotency-key", "a"), ("idempotency-key", "b")]

    refused(await upload(grid, headers=headers), 400, "Idempotency-Key")


async def test_a_registration_sent_again_is_answered_with_the_same_function(grid, key):
    grid.artifacts.code["shared/code.zip"] = CODE

    first = await register(grid, key, env={"A": "1", "B": "2"})
    again = await register(grid, key, env={"B": "2", "A": "1"}, timeout=None)

    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert again.json() == first.json()
    assert refused(await register(grid, key, timeout=7), 422, "Idempotency-Key")
    assert await functions_of(grid) == [first.json()]


async def test_a_registration_that_chose_its_id_may_be_sent_again(grid, key):
    grid.artifacts.code["shared/code.zip"] = CODE
    function_id = str(uuid.uuid4())

    answers = [await register(grid, key, function_id=function_id) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json()["function_id"] == function_id


async def test_a_registration_that_was_refused_frees_its_key(grid, key):
    refused(await register(grid, key), 400, "s3_key")
    grid.artifacts.code["shared/code.zip"] = CODE
    refused(await register(grid, key, memory_mb=1), 400, "memory_mb")

    assert (await register(grid, key)).status_code == 201


async def test_a_key_of_an_upload_is_none_of_a_registration(grid, key):
    await upload(grid, headers=key)

    refused(await register(grid, key), 422, "Idempotency-Key")


@pytest.mark.parametrize("asynchronous", ["true", "false"])
async def test_the_key_of_a_call_is_the_invokers_business(grid, key, asynchronous):
    body = {"function_id": grid.invoker.will_end()}

    await grid.http.post("/run", json=body, headers=key | {"x-async": asynchronous})
    await grid.http.post("/run", json=body, headers={"x-async": asynchronous})
    refused(await grid.http.post("/run", json=body, headers={"idempotency-key": "a b"}), 400, "Idempotency-Key")

    assert [asked.idempotency_key for asked in grid.invoker.requests] == [key["idempotency-key"], ""]


async def test_what_the_invoker_says_of_a_key_is_told_in_the_headers_name(grid, key):
    grid.invoker.refusal = InvalidFieldError("idempotency_key", "will not do")

    answer = await grid.http.post("/run", json={"function_id": str(uuid.uuid4())}, headers=key)

    refused(answer, 400, "Idempotency-Key")
