"""What callers get wrong over the whole grid: a clear error each, and never a 500."""

import httpx
import pytest

from support.grid import Grid

pytestmark = pytest.mark.backends("embedded")  # refused before any backend hears of it

HANDLER = "def handler(event, context): return event"


def problem(answer: httpx.Response, status: int) -> str:
    """The problem's detail, after checking that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"code", "reason", "retryable", "request_id"} <= set(body)
    return body["detail"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"runtime": "cobol"}, "cobol"),
        ({"runtime": ""}, "runtime"),
        ({"function_name": ""}, "function_name"),
        ({"handler": "nodots"}, "handler"),
        ({"timeout": "-1"}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"memory_mb": "63"}, "memory_mb"),
        ({"memory_mb": "10241"}, "memory_mb"),
        ({"env": "[1]"}, "env"),
        ({"env": '{"A": 1}'}, "env"),
        ({"env": '{"A": {"B": "c"}}'}, "env"),
        ({"mode": "sometimes"}, "mode"),
    ],
)
def test_an_upload_with_a_bad_field_names_it(grid: Grid, fields: dict[str, str], says: str) -> None:
    assert says in problem(grid.try_upload(HANDLER, **fields), 400)


def test_an_upload_without_a_file_or_with_an_empty_one_names_it(grid: Grid) -> None:
    without = grid.http.post("/upload", files={"function_name": (None, "f"), "runtime": (None, "python")})

    assert "file" in problem(without, 400)
    assert "file" in problem(grid.try_upload(""), 400)


def test_a_zip_that_is_none_is_refused(grid: Grid) -> None:
    assert "zip" in problem(grid.try_upload(b"PK not really", "code.zip"), 400)


def test_a_body_that_is_not_json_is_refused(grid: Grid) -> None:
    headers = {"content-type": "application/json"}
    function_id = grid.upload(HANDLER)
    for body in (b"{", b"\xff", b'{"function_id": "%s", "payload": NaN}' % function_id.encode(), b"[]", b""):
        problem(grid.http.post("/run", content=body, headers=headers), 400)


def test_a_payload_over_the_limit_says_both_numbers(grid: Grid) -> None:
    body = {"function_id": grid.upload(HANDLER), "payload": "x" * 33_000_000}

    detail = problem(grid.http.post("/run", json=body), 413)

    assert "32000000" in detail


def test_an_unknown_function_is_404_before_any_202(grid: Grid) -> None:
    for unknown in ("3e7f5dd4-9c38-4b39-9f43-111111111111", "nonsense", "../../etc/passwd"):
        answer = grid.http.post("/run", json={"function_id": unknown}, headers={"X-Async": "true"})
        problem(answer, 404)
        assert answer.json()["field"] == "function_id"


def test_an_unknown_job_is_404(grid: Grid) -> None:
    problem(grid.http.get("/status/job-3e7f5dd4-9c38-4b39-9f43-111111111111"), 404)


def test_mixed_spellings_are_refused(grid: Grid) -> None:
    function_id = grid.upload(HANDLER)

    detail = problem(grid.http.post("/run", json={"function_id": function_id, "inputData": {}}), 400)

    assert "inputData" in detail


def test_unknown_paths_and_methods_are_problems_too(grid: Grid) -> None:
    problem(grid.http.get("/nothing/here"), 404)
    problem(grid.http.put("/run"), 405)
