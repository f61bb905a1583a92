"""Idempotency-Key over the whole grid: asked again, nothing is made or run a second time."""

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from support.grid import Grid
from support.waiting import wait_until

# Says another thing at every run.
DICE = "import uuid\ndef handler(event, context): return str(uuid.uuid4())"
SLOW = "import time, uuid\ndef handler(event, context):\n    time.sleep(event)\n    return str(uuid.uuid4())"


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def upload(grid: Grid, key: dict[str, str], source: str = DICE) -> httpx.Response:
    form = {"function_name": "f", "runtime": "python"}
    return grid.http.post("/upload", files={"file": ("main.py", source.encode())}, data=form, headers=key)


def call(grid: Grid, key: dict[str, str], function_id: str, payload: Any = None) -> httpx.Response:
    return grid.http.post("/run", json={"function_id": function_id, "payload": payload}, headers=key)


def jobs_of(grid: Grid, function_id: str) -> list[dict[str, Any]]:
    return grid.http.get("/jobs", params={"function_id": function_id}).json()["jobs"]


def test_an_upload_sent_again_is_the_same_function_and_another_is_refused(grid: Grid, key: dict[str, str]) -> None:
    first, again, other = upload(grid, key), upload(grid, key), upload(grid, key, SLOW)

    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert again.json() == first.json()
    assert (other.status_code, other.json()["reason"]) == (422, "UNPROCESSABLE")
    assert grid.run(again.json()["function_id"])["status"] == "completed"


def test_of_many_uploads_at_once_under_one_key_one_becomes_a_function(grid: Grid, key: dict[str, str]) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: upload(grid, key), range(6)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    [function_id] = {answer.json()["function_id"] for answer in answers if answer.status_code == 201}
    assert upload(grid, key).json()["function_id"] == function_id


def test_an_upload_that_was_refused_may_be_put_right_under_its_key(grid: Grid, key: dict[str, str]) -> None:
    refused = grid.http.post(
        "/upload", files={"file": ("main.zip", b"no zip")}, data={"function_name": "f"}, headers=key
    )
    assert refused.status_code == 400

    assert upload(grid, key).status_code == 201


def test_a_call_asked_again_is_answered_with_the_same_job(grid: Grid, key: dict[str, str]) -> None:
    function_id = grid.upload(DICE)

    first, again, other = call(grid, key, function_id), call(grid, key, function_id), call(grid, key, function_id, 7)

    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.json() == first.json()
    assert first.json()["status"] == "completed"
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    assert len(jobs_of(grid, function_id)) == 1


def test_a_submission_asked_again_is_answered_with_the_same_job(grid: Grid, key: dict[str, str]) -> None:
    function_id = grid.upload(DICE)
    headers = key | {"X-Async": "true"}

    first, again = call(grid, headers, function_id), call(grid, headers, function_id)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["job_id"] == first.json()["job_id"]
    grid.wait(first.json()["job_id"])
    assert len(jobs_of(grid, function_id)) == 1


def test_while_the_first_call_waits_a_second_is_a_conflict(grid: Grid, key: dict[str, str]) -> None:
    function_id = grid.upload(SLOW)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, grid, key, function_id, 3)
        wait_until(lambda: jobs_of(grid, function_id), "the job did not appear")

        second = call(grid, key, function_id, 3)
        first = waiting.result()

    assert (second.status_code, second.json()["reason"]) == (409, "CONFLICT")
    assert first.status_code == 200
    assert call(grid, key, function_id, 3).json() == first.json()


@pytest.mark.parametrize("bad", ["a b", "x" * 256])
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_made(grid: Grid, bad: str) -> None:
    function_id = grid.upload(DICE)
    key = {"Idempotency-Key": bad}

    for answer in (upload(grid, key), call(grid, key, function_id)):
        assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")

    assert jobs_of(grid, function_id) == []


def test_what_a_key_made_is_still_known_after_the_registry_was_killed(grid: Grid, key: dict[str, str]) -> None:
    first = upload(grid, key).json()
    [pid] = grid.pids("services.registry")

    os.kill(pid, signal.SIGKILL)

    again = wait_until(partial(_served_upload, grid, key), "the registry is not back")
    assert (again.status_code, again.json()) == (201, first), again.text


def _served_upload(grid: Grid, key: dict[str, str]) -> httpx.Response | None:
    answer = upload(grid, key)
    return None if answer.status_code == 503 else answer
