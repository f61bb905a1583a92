"""A runaway function and its user: what ends its jobs, and that nothing begins them again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.grid import Grid
from support.terminal import Terminal, terminal
from support.waiting import wait_until

RUNAWAY = """
import os, threading
def handler(event, context):
    print("begun", flush=True)
    threading.Event().wait()
"""

ECHO = b"def handler(event, context): return event"


def submit(http: httpx.Client, function_id: str, payload: Any = None) -> str:
    answer = http.post("/run", json={"function_id": function_id, "payload": payload or {}}, headers={"X-Async": "true"})
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


def state(http: httpx.Client, job_id: str) -> str:
    return http.get(f"/status/{job_id}").raise_for_status().json()["status"]


def test_deleting_a_function_ends_its_jobs_those_that_run_and_those_that_wait(grid: Grid):
    function_id = grid.upload(RUNAWAY, timeout=0, max_concurrency=1)
    jobs = [submit(grid.http, function_id) for _ in range(6)]
    wait_until(lambda: "running" in {state(grid.http, job_id) for job_id in jobs})
    states = sorted(state(grid.http, job_id) for job_id in jobs)
    assert states in (["pending"] * 5 + ["running"], ["pending"] * 4 + ["running"] * 2), "one on each executor at most"

    assert grid.http.delete(f"/functions/{function_id}").status_code == 204

    ended = [grid.wait(job_id) for job_id in jobs]
    assert {(job["status"], job["error"]["type"]) for job in ended} == {("cancelled", "Cancelled")}, ended
    assert {job["error"]["message"] for job in ended} == {"its function was deleted"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path, NANOGRID_EXECUTOR_DRAIN_S="1") as opened:
        yield opened


def test_down_ends_what_would_never_end_and_the_next_up_does_not_begin_it_again(shell: Terminal):
    with shell.up() as http:
        form = {"function_name": "f", "runtime": "python", "timeout": "0"}
        uploaded = http.post("/upload", files={"file": ("main.py", RUNAWAY.encode())}, data=form).json()
        job_id = submit(http, uploaded["function_id"])
        wait_until(lambda: state(http, job_id) == "running")

        down = shell.nanogrid("down")

    assert (down.returncode, shell.processes()) == (0, []), down.stderr
    with shell.up() as http:
        job = http.get(f"/status/{job_id}").json()
        assert (job["status"], job["error"]["type"]) == ("cancelled", "Cancelled"), job
        assert job["error"]["message"] == "the grid was stopped while the job ran"
        assert job["attempt"] == 1
        # Anything left on the queue is taken before a job that is submitted now.
        echo = http.post("/upload", files={"file": ("main.py", ECHO)}, data=form | {"function_name": "g"}).json()
        assert http.post("/run", json={"function_id": echo["function_id"]}).json()["status"] == "completed"
        assert http.get("/jobs", params={"status": "running"}).json()["jobs"] == []
        assert state(http, job_id) == "cancelled"
