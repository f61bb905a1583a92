"""An operator's and a newcomer's day: the mission's examples, messages put on the queue, and the command line."""

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from nanogrid.queue import TaskQueue, open_queue
from nanogrid.runtimes import RUNTIMES
from support.grid import Grid
from support.sandboxes import absent

pytestmark = pytest.mark.backends("embedded")  # what is tried here is the same on every family

VERSION = "import sys\ndef handler(event, context):\n    return '.'.join(map(str, sys.version_info[:2]))\n"


@pytest.fixture(scope="module")
def not_built(grid: Grid, sandbox_url: str) -> str:
    """A Python that this grid does not offer."""
    missing = [name for name, one in RUNTIMES.items() if one.alias == "python" and absent(sandbox_url, one)]
    assert missing, "every version is here; take one away"
    return missing[0]


@pytest.fixture
async def queue(grid: Grid) -> AsyncIterator[TaskQueue]:
    async with open_queue(grid.queue_url, f"by-hand-{uuid.uuid4()}") as opened:
        yield opened


async def put(queue: TaskQueue, **message: object) -> None:
    await queue.send(json.dumps(message).encode())


def test_a_version_that_is_not_built_is_served_by_one_that_is_and_the_answers_say_so(grid: Grid, not_built: str):
    uploaded = grid.try_upload(VERSION, runtime=not_built)
    function = uploaded.json()
    registered = grid.http.post(
        "/functions", json={"function_name": "again", "runtime": not_built, "s3_key": function["s3_key"]}
    ).json()

    assert uploaded.status_code == 201, uploaded.text
    for made in (function, registered, grid.http.get(f"/functions/{function['function_id']}").json()):
        assert made["requested_runtime"] == not_built, made
        assert made["runtime"] in RUNTIMES
        assert grid.run(made["function_id"])["result"] == made["runtime"].removeprefix("python")


async def test_a_message_by_hand_that_names_a_version_not_built_is_served_likewise(
    grid: Grid, queue: TaskQueue, not_built: str
):
    job_id = f"job-{uuid.uuid4()}"

    await put(queue, job_id=job_id, function_id="inline", code=VERSION, runtime=not_built)

    job = grid.ended(job_id)
    assert job["status"] == "completed", job
    assert (job["requested_runtime"], job["runtime"]) == (not_built, f"python{job['result']}")


def test_a_runtime_that_nothing_can_stand_in_for_is_refused_with_what_is_offered(grid: Grid):
    refused = grid.try_upload(VERSION, runtime="python3").json()

    assert refused["reason"] == "RUNTIME_NOT_SUPPORTED"
    assert refused["detail"].endswith("did you mean 'python'?")
    assert "python3.11" in refused["detail"]
