"""POST /upload: forms that will not do, each named with the cure."""

import json

import pytest
import pytest_asyncio

from support.gateway_grid import gateway_grid
from support.rest import CODE, FIELDS, MULTIPART, by_hand, field_part, file_part, refused, upload

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid"), gateway_upload_bytes=3_000_000) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


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
    refused(await upload(grid, fields), 400, field)

    assert grid.artifacts.code == {}
    assert (await grid.http.get("/functions")).json()["functions"] == []


@pytest.mark.parametrize(("fields", "field"), BAD_FIELDS)
async def test_a_bad_field_behind_the_file_is_named_and_nothing_is_stored(grid, fields, field):
    body = by_hand(file_part(), *(field_part(name, value.encode()) for name, value in fields.items()))

    refused(await grid.http.post("/upload", content=body, headers=MULTIPART), 400, field)

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
    assert cure in refused(await upload(grid, file=file), 400, "file")["detail"]

    assert grid.artifacts.code == {}


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"x-gzip"])
@pytest.mark.parametrize("which", ["file", "handler"])
async def test_a_part_in_an_encoding_that_forms_do_not_have_is_refused(grid, encoding, which):
    part = file_part() if which == "file" else field_part("handler", b"aGVsbG8uaGFuZGxlcg==")
    encoded = (part[0] + b"\r\nContent-Transfer-Encoding: " + encoding, part[1])
    others = [] if which == "file" else [file_part()]

    answer = await grid.http.post("/upload", content=by_hand(*GOOD, encoded, *others), headers=MULTIPART)

    assert encoding.decode() in refused(answer, 400, which)["detail"]
    assert grid.artifacts.code == {}


@pytest.mark.parametrize("encoding", [b"binary", b"8bit", b"7BIT"])
async def test_transfer_encodings_that_change_nothing_are_passed_over(grid, encoding):
    head, body = file_part()
    encoded = (head + b"\r\nContent-Transfer-Encoding: " + encoding, body)

    answer = await grid.http.post("/upload", content=by_hand(*GOOD, encoded), headers=MULTIPART)

    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("charset", "sent", "status"),
    [
        (b"utf-8", "이름".encode(), 201),
        (b"EUC-KR", "이름".encode("euc-kr"), 201),
        (b'"UTF-8"', "이름".encode("euc-kr"), 400),
        (b"no-such", b"name", 400),
        (b"rot13", b"name", 400),
        (b"unicode_escape", b"name", 400),
    ],
)
async def test_a_text_field_is_read_in_the_charset_that_its_part_says(grid, charset, sent, status):
    head, _ = field_part("function_name", b"")
    named = (head + b"\r\nContent-Type: text/plain; charset=" + charset, sent)

    answer = await grid.http.post("/upload", content=by_hand(named, GOOD[1], file_part()), headers=MULTIPART)

    assert answer.status_code == status, answer.text
    assert answer.json().get("field" if status == 400 else "function_name") in ("이름", "function_name")


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

    body = refused(answer, 413, "body")
    assert body["limit"] == 3_000_000
    assert body["actual"] > 3_000_000
    assert grid.artifacts.begun == 0


async def test_a_body_over_the_limit_that_was_not_announced_is_cut_off_and_leaves_nothing(grid):
    async def endless():
        yield by_hand(*GOOD, file_part(), end=b"")[:-2]
        for _ in range(60):
            yield b"x" * 65_536

    answer = await grid.http.post("/upload", content=endless(), headers=MULTIPART)

    assert refused(answer, 413, "body")["limit"] == 3_000_000
    assert grid.artifacts.code == {}


@pytest.mark.parametrize(("name", "limit"), [("handler", 65_536), ("env", 131_072)])
async def test_text_fields_are_bounded_with_both_numbers(grid, name, limit):
    answer = await upload(grid, FIELDS | {name: "x" * (limit + 1)})

    assert refused(answer, 413, name)["limit"] == limit
