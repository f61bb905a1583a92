"""POST /upload and POST /functions: code becomes a function, or leaves nothing."""

import asyncio
import json
import uuid

import httpx
import pytest

from nanogrid.errors import ArchiveRejectedError, UnavailableError
from nanogrid.v1.registry_pb2 import CreateFunctionRequest
from support.functions import a_function
from support.gateway_grid import gateway_grid
from support.waiting import until

CODE = b"def handler(event, context):\n    return event\n"
FIELDS = {"function_name": "hello", "runtime": "python3.11"}


@pytest.fixture
async def grid(tmp_path):
    async with gateway_grid(tmp_path, gateway_upload_bytes=3_000_000) as opened:
        yield opened


def upload(grid, fields=None, file=("hello.py", CODE), **more):
    return grid.http.post("/upload", data=FIELDS if fields is None else fields, files={"file": file}, **more)


def named(answer, field, status=400):
    """The answer is a problem that names the field."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["field"] == field, body
    assert field in body["detail"]
    return body


def by_hand(*parts, end=b"--B--\r\n"):
    """A multipart body, byte for byte."""
    return b"".join(b"--B\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + end


def field_part(name, value):
    return f'Content-Disposition: form-data; name="{name}"'.encode(), value


def file_part(body=CODE, filename=b"hello.py"):
    return b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"', body


MULTIPART = {"content-type": "multipart/form-data; boundary=B"}


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

    body = named(answer, "runtime")
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


BAD_FIELDS = [
    ({"runtime": "python3.11"}, "function_name"),
    ({"function_name": "hello"}, "runtime"),
    (FIELDS | {"function_name": ""}, "function_name"),
    (FIELDS | {"function_name": "a\x07b"}, "function_name"),
    (FIELDS | {"function_name": "x" * 129}, "function_name"),
    (FIELDS | {"runtime": "cobol"}, "runtime"),
    (FIELDS | {"handler": "nope"}, "handler"),
    (FIELDS | {"handler": "../x.y"}, "handler"),
    (FIELDS | {"timeout": "soon"}, "timeout"),
    (FIELDS | {"timeout": "-1"}, "timeout"),
    (FIELDS | {"timeout": "1.5"}, "timeout"),
    (FIELDS | {"timeout": "604801"}, "timeout"),
    (FIELDS | {"timeout": "9999999999"}, "timeout"),
    (FIELDS | {"timeout": "9" * 5000}, "timeout"),
    (FIELDS | {"timeout": "٣"}, "timeout"),
    (FIELDS | {"memory_mb": "1"}, "memory_mb"),
    (FIELDS | {"memory_mb": "lots"}, "memory_mb"),
    (FIELDS | {"max_concurrency": "1001"}, "max_concurrency"),
    (FIELDS | {"mode": "sometimes"}, "mode"),
    (FIELDS | {"egress": "true"}, "egress"),
    (FIELDS | {"egress": "maybe"}, "egress"),
    (FIELDS | {"auto_memory": "1"}, "auto_memory"),
    (FIELDS | {"env": "[]"}, "env"),
    (FIELDS | {"env": "{"}, "env"),
    (FIELDS | {"env": '{"A": 1}'}, "env"),
    (FIELDS | {"env": '{"A": null}'}, "env"),
    (FIELDS | {"env": '{"1A": "x"}'}, "env"),
    (FIELDS | {"env": '{"HANDLER": "x"}'}, "env"),
    (FIELDS | {"env": '{"A": "\\u0000"}'}, "env"),
    (FIELDS | {"env": '{"A": "\\ud800"}'}, "env"),
    (FIELDS | {"env": json.dumps({"A": "x" * 65_536})}, "env"),
    (FIELDS | {"function_id": "x"}, "function_id"),
    (FIELDS | {"surprise": "x"}, "surprise"),
]


@pytest.mark.parametrize(("fields", "field"), BAD_FIELDS)
async def test_a_bad_field_is_named_and_nothing_is_stored(grid, fields, field):
    named(await upload(grid, fields), field)

    assert grid.artifacts.code == {}
    assert (await grid.http.get("/functions")).json()["functions"] == []


@pytest.mark.parametrize(("fields", "field"), BAD_FIELDS)
async def test_a_bad_field_behind_the_file_is_named_and_nothing_is_stored(grid, fields, field):
    body = by_hand(file_part(), *(field_part(name, value.encode()) for name, value in fields.items()))

    named(await grid.http.post("/upload", content=body, headers=MULTIPART), field)

    assert grid.artifacts.code == {}


@pytest.mark.parametrize(
    ("file", "cure"),
    [
        (("hello.txt", CODE), ".zip"),
        (("hello", CODE), ".py"),
        ((".py", CODE), ".py"),
        (("hello.py", b""), "empty"),
        (("hello.js", CODE), "does not run on python3.11"),
        (("main.cpp", CODE), "does not run on python3.11"),
    ],
)
async def test_a_file_that_will_not_do_is_refused_with_the_cure(grid, file, cure):
    assert cure in named(await upload(grid, file=file), "file")["detail"]

    assert grid.artifacts.code == {}


GOOD = [field_part(name, value.encode()) for name, value in FIELDS.items()]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (by_hand(*GOOD, file_part(), file_part()), "file"),
        (by_hand(*GOOD, field_part("file", CODE)), "file"),
        (by_hand(*GOOD, GOOD[0], file_part()), "function_name"),
        (by_hand(*GOOD, file_part(), GOOD[0]), "function_name"),
        (by_hand(*GOOD, file_part(), field_part("handler", b"\xff")), "handler"),
        (by_hand(*GOOD, file_part(filename=b"\xff.py")), "file"),
        (by_hand(*GOOD, file_part(), end=b""), "body"),
        (by_hand(*GOOD, file_part())[:-40], "body"),
        (by_hand(*GOOD, (b"X-Other: 1", b"x"), file_part()), "body"),
        (by_hand(*GOOD, (b"", b"x"), file_part()), "body"),
        (by_hand(*GOOD, (b'Content-Disposition: form-data; name="a\xff"', b"x"), file_part()), "body"),
        (by_hand(*GOOD, (b"X: " + b"x" * 100_000, b"x"), file_part()), "body"),
        (b"not a form at all", "body"),
        (b"", "body"),
        (b"--B--\r\n", "file"),
        (by_hand(*GOOD), "file"),
        (b"--B\r\n" * 1000, "body"),
    ],
)
async def test_forms_that_are_none_are_refused(grid, body, field):
    answer = await grid.http.post("/upload", content=body, headers=MULTIPART)

    assert answer.status_code == 400, answer.text
    assert answer.json()["field"] == field, answer.text
    assert grid.artifacts.code == {}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 415),
        ("", 415),
        ("text/plain", 415),
        ("multipart/mixed; boundary=B", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/form-data; boundary=" + "x" * 500, 400),
    ],
)
async def test_a_body_of_another_kind_is_refused(grid, content_type, status):
    answer = await grid.http.post(
        "/upload", content=by_hand(*GOOD, file_part()), headers={"content-type": content_type}
    )

    assert answer.status_code == status, answer.text


async def test_an_announced_body_over_the_limit_is_refused_with_both_numbers(grid):
    answer = await upload(grid, file=("big.zip", b"x" * 3_000_000))

    body = named(answer, "body", 413)
    assert body["limit"] == 3_000_000
    assert body["actual"] > 3_000_000
    assert grid.artifacts.begun == 0


async def test_a_body_over_the_limit_that_was_not_announced_is_cut_off_and_leaves_nothing(grid):
    async def endless():
        yield by_hand(*GOOD, file_part(), end=b"")[:-2]
        for _ in range(60):
            yield b"x" * 65_536

    answer = await grid.http.post("/upload", content=endless(), headers=MULTIPART)

    assert named(answer, "body", 413)["limit"] == 3_000_000
    assert grid.artifacts.code == {}


@pytest.mark.parametrize(("name", "limit"), [("handler", 65_536), ("env", 131_072)])
async def test_text_fields_are_bounded_with_both_numbers(grid, name, limit):
    answer = await upload(grid, FIELDS | {name: "x" * (limit + 1)})

    assert named(answer, name, 413)["limit"] == limit


async def test_what_artifacts_refuses_is_told_as_it_is(grid):
    grid.artifacts.refusal = ArchiveRejectedError("the archive holds a link: docs/x; zip it without links")

    answer = await upload(grid, file=("code.zip", b"x" * 1_000_000))

    assert answer.status_code == 400
    assert answer.json()["reason"] == "ARCHIVE_REJECTED"
    assert "docs/x" in answer.json()["detail"]


async def test_code_whose_function_cannot_be_recorded_is_deleted_again(grid):
    # The registry refuses what only it knows to be wrong, after the code is stored.
    named(await upload(grid, FIELDS | {"memory_mb": "63"}), "memory_mb")

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


async def test_another_owners_upload_cannot_be_registered(grid):
    victim = a_function()
    await grid.registry.CreateFunction(CreateFunctionRequest(function=victim))
    grid.artifacts.code[victim.s3_key] = CODE

    assert (await register(grid, s3_key=victim.s3_key)).status_code in (400, 409)
    named(await register(grid, s3_key=victim.s3_key, function_id=str(uuid.uuid4())), "s3_key")


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
        ({"function_id": "x"}, "function_id"),
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

    named(await register(grid, **body), field)

    assert (await grid.http.get("/functions")).json()["functions"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"a": NaN}', b"\xff", b"[" * 2000, b"1" * 5000])
async def test_a_registration_that_is_no_json_object_is_refused(grid, body):
    named(await grid.http.post("/functions", content=body), "body")


async def test_a_registration_over_its_limit_is_refused_with_both_numbers(grid):
    answer = await register(grid, handler="x" * 300_000)

    assert named(answer, "body", 413)["actual"] > 300_000
