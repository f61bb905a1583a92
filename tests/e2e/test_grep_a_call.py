"""One id finds a call in the log of every process that it passed."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.grid import Grid
from support.waiting import wait_until

PROCESSES = {"gateway", "invoker", "executor"}


def lines_with(grid: Grid, text: str, services: set[str]) -> list[dict[str, Any]]:
    """The log lines that hold the text, once each of these services has one."""

    def found() -> list[dict[str, Any]]:
        lines = [
            json.loads(line)
            for path in Path(grid.folder, "logs").glob("*.log")
            for line in path.read_text().splitlines()
            if text in line and line.startswith("{")
        ]
        return lines if {line["service"] for line in lines} >= services else []

    return wait_until(found, f"not every log has {text}")


@pytest.mark.backends("embedded")
def test_a_call_is_found_by_its_request_id_and_by_its_job_in_every_process(grid: Grid) -> None:
    function_id = grid.upload("def handler(e, c): return 1")

    answer = grid.http.post("/run", json={"function_id": function_id}, headers={"x-request-id": "find-me-1"})
    assert answer.headers["x-request-id"] == "find-me-1"

    by_request = lines_with(grid, "find-me-1", PROCESSES)
    by_job = lines_with(grid, answer.json()["job_id"], PROCESSES)
    assert {line["level"] for line in [*by_request, *by_job]} == {"info"}
    assert [line["status"] for line in by_job if line["service"] == "gateway"] == [200]
    assert [line["state"] for line in by_job if line["event"] == "job ended"] == ["SUCCESS"]


@pytest.mark.backends("embedded")
def test_an_upload_is_found_in_the_registry_and_in_artifacts(grid: Grid) -> None:
    answer = grid.http.post(
        "/upload",
        files={"file": ("a.py", b"def handler(e, c): return 1")},
        data={"function_name": "f", "runtime": "python"},
        headers={"x-request-id": "find-me-2"},
    )
    assert answer.status_code == 201

    found = lines_with(grid, "find-me-2", {"gateway", "registry", "artifacts"})
    assert {line.get("method") for line in found} >= {"POST", "UploadCode", "CreateFunction"}
