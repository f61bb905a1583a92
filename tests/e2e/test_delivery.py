"""Jobs that outlive what carries them: executors told to hurry, records and payloads too large for queue and Redis."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.grid import Grid, running_grid
from support.waiting import wait_until

# Sleeps the first time, for longer than any test; leaves a mark, and returns at once when it finds it.
SLEEPS_ONCE = """
import os, time
def handler(event, context):
    if os.path.exists(event["mark"]):
        return "second"
    open(event["mark"], "w").close()
    time.sleep(600)
"""
ECHO = "def handler(event, context):\n    print('x' * 300_000)\n    return event"


def submit(grid: Grid, function_id: str, payload: object) -> str:
    body = {"function_id": function_id, "payload": payload}
    return grid.http.post("/run", json=body, headers={"X-Async": "true"}).json()["job_id"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("plain")
    with running_grid(folder, NANOGRID_EXECUTOR_SANDBOX_URL="process:", NANOGRID_EXECUTOR_DRAIN_S="500") as grid:
        yield grid


@pytest.fixture
def mark() -> Iterator[Path]:
    """A path that sandboxes, which run as nobody in particular and have a /tmp of their own, may write to."""
    with tempfile.TemporaryDirectory(prefix="mark-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder, "mark")


def test_a_second_sigterm_hands_running_jobs_back_at_once(plain: Grid, mark: Path) -> None:
    job_id = submit(plain, plain.upload(SLEEPS_ONCE), {"mark": str(mark)})
    wait_until(mark.exists)
    [pid] = plain.pids("services.executor")

    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: '"event":"stopping"' in (plain.folder / "logs" / "executor.log").read_text())
    os.kill(pid, signal.SIGTERM)

    job = plain.wait(job_id)  # the next executor has it long before the drain time is over
    assert (job["result"], job["attempt"]) == ("second", 1)


def test_an_executor_killed_in_a_job_loses_nothing_and_the_try_counts(plain: Grid, mark: Path) -> None:
    job_id = submit(plain, plain.upload(SLEEPS_ONCE), {"mark": str(mark)})
    wait_until(mark.exists)
    [pid] = plain.pids("services.executor")

    os.kill(pid, signal.SIGKILL)

    job = plain.wait(job_id)
    assert (job["result"], job["attempt"]) == ("second", 2)


def test_large_payloads_and_results_travel_as_small_ones_do(plain: Grid) -> None:
    function_id = plain.upload(ECHO)
    payload = {"text": "가" * 1_000_000, "n": 2**53}

    answer = plain.run(function_id, payload)
    job = plain.wait(submit(plain, function_id, payload))

    for found in (answer, job):
        assert found["status"] == "completed", found["error"]
        assert found["result"] == payload
        assert len(found["stdout"]) == 300_001


def test_status_survives_a_flushed_redis(plain: Grid) -> None:
    import redis  # noqa: PLC0415 - this test's alone

    answer = plain.run(plain.upload("def handler(event, context):\n    return event"), {"a": 1})
    kept = plain.folder / "artifacts" / "data" / "results"
    wait_until(lambda: any(answer["job_id"] in path.name for path in kept.glob("*")))
    redis.Redis.from_url(plain.described("redis_url")).flushall()

    job = plain.http.get(f"/status/{answer['job_id']}").json()

    assert (job["status"], job["result"]) == ("completed", {"a": 1})
    assert plain.http.get("/status/job-unknown").status_code == httpx.codes.NOT_FOUND
    assert plain.run(plain.upload(ECHO), {"after": "the flush"})["result"] == {"after": "the flush"}
