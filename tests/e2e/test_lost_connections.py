"""Synchronous calls get their answer though their connection to the invoker breaks or carries only keepalives."""

import concurrent.futures
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cut_proxy import CutProxy, cut_proxy
from support.grid import Grid, running_grid
from support.redis_server import free_port
from support.waiting import wait_until

SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return event['s']"


@dataclass(frozen=True, slots=True)
class Behind:
    """A grid whose gateway reaches its invoker through a proxy."""

    grid: Grid
    proxy: CutProxy


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder, port = tmp_path_factory.mktemp("behind"), free_port()
    with (
        cut_proxy(port) as proxy,
        running_grid(
            folder,
            NANOGRID_EXECUTOR_SANDBOX_URL="process:",
            NANOGRID_INVOKER_LISTEN=f"127.0.0.1:{port}",
            NANOGRID_INVOKER_ADDRESS=f"127.0.0.1:{proxy.port}",
            NANOGRID_GATEWAY_WAIT_S="8",
            NANOGRID_RPC_KEEPALIVE_S="0.3",
        ) as grid,
    ):
        yield Behind(grid, proxy)


def answer_of(behind: Behind, path: str, body: dict[str, Any], then: Callable[[], None], **headers: str) -> Any:
    """What a call answers during which `then` happens, once its job runs or waits."""
    before = len(jobs(behind.grid))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        calling = pool.submit(behind.grid.http.post, path, json=body, headers=headers)
        wait_until(lambda: len(jobs(behind.grid)) > before, "no job was accepted")
        then()
        return calling.result()


def reopen(behind: Behind) -> None:
    """Let connections pass again, and wait until the gateway has one."""
    behind.proxy.is_open = True
    wait_until(lambda: behind.grid.http.get("/jobs").is_success, "the gateway does not find its invoker again")


def jobs(grid: Grid) -> list[dict[str, Any]]:
    return grid.http.get("/jobs", params={"limit": 100}).raise_for_status().json()["jobs"]


def test_a_connection_cut_in_the_middle_of_a_wait_is_made_again_and_the_job_runs_once(behind: Behind) -> None:
    function_id = behind.grid.upload(SLEEP)

    answer = answer_of(behind, "/run", {"function_id": function_id, "payload": {"s": 2}}, behind.proxy.cut)

    assert (answer.status_code, answer.json()["result"]) == (200, 2), answer.text
    assert [job["function_id"] for job in jobs(behind.grid)].count(function_id) == 1


def test_an_invoker_killed_in_the_middle_of_a_wait_is_asked_again(behind: Behind) -> None:
    function_id = behind.grid.upload(SLEEP)
    [pid] = behind.grid.pids("services.invoker")

    answer = answer_of(
        behind,
        "/run",
        {"function_id": function_id, "payload": {"s": 2}},
        lambda: os.kill(pid, signal.SIGKILL),
        **{"idempotency-key": "once"},
    )

    assert (answer.status_code, answer.json()["result"]) == (200, 2), answer.text
    assert [job["function_id"] for job in jobs(behind.grid)].count(function_id) == 1


def test_when_nobody_can_say_the_answer_names_the_job_and_is_no_503(behind: Behind) -> None:
    function_id = behind.grid.upload(SLEEP)

    def vanish() -> None:
        behind.proxy.is_open = False
        behind.proxy.cut()

    try:
        answer = answer_of(behind, "/run", {"function_id": function_id, "payload": {"s": 1}}, vanish)
    finally:
        reopen(behind)

    told = answer.json()
    assert (answer.status_code, told["reason"], told["retryable"]) == (504, "OUTCOME_UNKNOWN", False), told
    assert behind.grid.wait(told["job_id"])["result"] == 1


def test_an_invoker_that_was_away_from_the_start_accepted_nothing(behind: Behind) -> None:
    function_id = behind.grid.upload(SLEEP)
    before = len(jobs(behind.grid))
    behind.proxy.is_open = False
    behind.proxy.cut()
    try:
        answers = [behind.grid.http.post("/run", json={"function_id": function_id}) for _ in range(3)]
    finally:
        reopen(behind)

    # The first may have found the connection before it noticed that it was cut.
    assert [answer.status_code for answer in answers][1:] == [503, 503]
    assert "nothing was accepted" in answers[-1].json()["detail"]
    assert "127.0.0.1" not in answers[-1].text
    assert len(jobs(behind.grid)) == before


def test_a_call_on_a_quiet_grid_outlives_many_keepalives(behind: Behind) -> None:
    function_id = behind.grid.upload(SLEEP)
    accepted = behind.proxy.accepted

    job = behind.grid.run(function_id, {"s": 6})  # 20 keepalives

    assert job["result"] == 6
    assert behind.proxy.accepted == accepted, "the connection was made anew: its keepalives were too many"
    logs = "".join(path.read_text() for path in Path(behind.grid.folder, "logs").glob("*.log"))
    assert "too_many_pings" not in logs
