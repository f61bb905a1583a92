"""POST /upload: code becomes a function, or leaves nothing."""

import asyncio
import uuid

import httpx
import pytest

from nanogrid.errors import ArchiveRejectedError, UnavailableError
from support.gateway_grid import gateway_grid
from support.rest import CODE, FIELDS, MULTIPART, by_hand, field_part, file_part, refused, upload
from support.waiting import until


@pytest.fixture
async def grid(tmp_path):
    async with gateway_grid(tmp_path, gateway_upload_bytes=3_000_000) as opened:
        yield opened


GOOD = [field_part(name, value.encode()) for name, value in FIELDS.items()]


async def test_an_uploaded_file_becomes_a_function(grid):
    answer = await upload(grid, FIELDS | {"env": '{"TOKEN": "secret-값"}', "timeout": "0", "mode": "fresh"})

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert uuid.UUID(body["function_id"])
    assert body["created_at"].endswith("Z")
    assert answer.headers["location"] == f"/functions/{body['function_id']}"
    assert {
        name: value for name, value in body.items() if name not in ("function_id", "created_at", "code_sha256")
    } == {
        "function_name": "hello",
        "s3_key": f"functions/{body['function_id']}/code.zip",
        "runtime": "python3.11",
        "handler": "hello.handler",
        "timeout": 0,
        "memory_mb": 512,
        "mode": "fresh",
        "max_concurrency": 0,
        "egress": False,
        "auto_memory": False,
        "env": ["TOKEN"],
        "size_bytes": len(CODE),
        "owner": "kim",
    }
    assert grid.artifacts.code == {body["s3_key"]: CODE}
    assert "secret" not in answer.text


async def test_fields_may_come_behind_the_file(grid):
    body = by_hand(file_part(), *(field_part(name, value.encode()) for name, value in FIELDS.items()))

    answer = await grid.http.post("/upload", content=body, headers=MULTIPART)

    assert answer.status_code == 201, answer.text


async def test_a_body_that_arrives_byte_by_byte_is_the_same(grid):
    async def drip():
        for byte in by_hand(*(field_part(name, value.encode()) for name, value in FIELDS.items()), file_part()):
            yield bytes([byte])

    answer = await grid.http.post("/upload", content=drip(), headers=MULTIPART)

    assert answer.status_code == 201, answer.text
    assert list(grid.artifacts.code.values()) == [CODE]


async def test_a_large_file_arrives_whole_in_bounded_pieces(grid):
    code = bytes(range(256)) * 11_000

    answer = await upload(grid, file=("big.zip", code))

    assert answer.status_code == 201, answer.text
    assert list(grid.artifacts.code.values()) == [code]
    assert grid.artifacts.largest_chunk <= 1024 * 1024


async def test_code_may_look_like_the_forms_own_lines(grid):
    tricky = b"\r\n--B\r\n-B--\r\n--\r\r\n--A--" * 50

    body = by_hand(
        *(field_part(name, value.encode()) for name, value in FIELDS.items()), file_part(tricky.replace(b"--B", b"--C"))
    )
    answer = await grid.http.post("/upload", content=body, headers=MULTIPART)

    assert answer.status_code == 201, answer.text
    assert list(grid.artifacts.code.values()) == [tricky.replace(b"--B", b"--C")]


async def test_an_alias_means_a_runtime_that_is_offered(grid):
    grid.invoker.runtimes = ["python3.13", "python3.9"]

    answer = await upload(grid, FIELDS | {"runtime": "python"})

    assert answer.json()["runtime"] == "python3.13"


async def test_a_runtime_nobody_offers_is_refused_with_the_ones_that_are(grid):
    answer = await upload(grid, FIELDS | {"runtime": "python3.9"})

    body = refused(answer, 400, "runtime")
    assert body["reason"] == "RUNTIME_NOT_SUPPORTED"
    assert "python3.11" in body["detail"]
    assert grid.artifacts.code == {}


async def test_an_upload_needs_no_executor_and_no_invoker(grid):
    grid.invoker.refusal = UnavailableError("down")

    assert (await upload(grid)).status_code == 201


async def test_executors_are_not_asked_at_every_upload(grid):
    for _ in range(3):
        await upload(grid)

    assert grid.invoker.asked_for_executors == 1


@pytest.mark.parametrize(
    ("filename", "given", "handler"),
    [
        ("hello.py", "", "hello.handler"),
        ("my-app.PY", "", "my-app.handler"),
        ("함수.py", "", "함수.handler"),
        ("C:\\work\\app.py", "", "app.handler"),
        ("code.zip", "", "main.handler"),
        ("code.zip", "pkg/app.run", "pkg/app.run"),
        ("hello.py", "hello.other", "hello.other"),
    ],
)
async def test_the_handler_follows_from_the_file_unless_it_is_given(grid, filename, given, handler):
    answer = await upload(grid, FIELDS | {"handler": given}, (filename, CODE))

    assert answer.status_code == 201, answer.text
    assert answer.json()["handler"] == handler


async def test_what_artifacts_refuses_is_told_as_it_is(grid):
    grid.artifacts.refusal = ArchiveRejectedError("the archive holds a link: docs/x; zip it without links")

    answer = await upload(grid, file=("code.zip", b"x" * 1_000_000))

    assert answer.status_code == 400
    assert answer.json()["reason"] == "ARCHIVE_REJECTED"
    assert "docs/x" in answer.json()["detail"]


async def test_code_whose_function_cannot_be_recorded_is_deleted_again(grid):
    # The registry refuses what only it knows to be wrong, after the code is stored.
    refused(await upload(grid, FIELDS | {"memory_mb": "63"}), 400, "memory_mb")

    assert grid.artifacts.begun == 1
    assert grid.artifacts.code == {}


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(grid):
    host, port = httpx.URL(grid.url).host, httpx.URL(grid.url).port
    _, writer = await asyncio.open_connection(host, port)
    head = (
        f"POST /upload HTTP/1.1\r\nhost: x\r\nauthorization: {grid.http.headers['authorization']}\r\n"
        "content-type: multipart/form-data; boundary=B\r\ncontent-length: 2000000\r\n\r\n"
    )
    writer.write(head.encode() + by_hand(*GOOD, file_part(b"x" * 1_000_000), end=b"")[:-2])
    await until(lambda: grid.artifacts.largest_chunk > 0)

    writer.close()
    await writer.wait_closed()

    await until(lambda: grid.artifacts.ended == 1 and grid.artifacts.deleted == 1)
    assert grid.artifacts.code == {}
    assert (await grid.http.get("/functions")).json()["functions"] == []


async def test_an_upload_belongs_to_whoever_sent_it(grid):
    lee = await grid.key_of("lee")
    mine = (await upload(grid)).json()

    theirs = (await upload(grid, headers=lee)).json()

    assert (mine["owner"], theirs["owner"]) == ("kim", "lee")
    assert (await grid.http.get(f"/functions/{theirs['function_id']}")).status_code == 404
