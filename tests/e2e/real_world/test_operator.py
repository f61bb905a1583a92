"""An operator's and a newcomer's day: the mission's examples, messages put on the queue, and the command line."""

import json
import uuid
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from nanogrid.queue import TaskQueue, open_queue
from nanogrid.runtimes import RUNTIMES
from support.grid import Grid
from support.sandboxes import absent
from support.terminal import Terminal
from support.waiting import wait_until

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


def bucket(grid: Grid, key: str, source: str) -> None:
    """Put code into the code bucket as its owner's own tools would, which know nothing of NanoGrid."""
    path = grid.folder / "artifacts" / "code" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("main.py", source)


async def test_the_missions_code_lies_in_the_bucket_is_registered_under_its_own_id_and_run(
    grid: Grid, queue: TaskQueue
):
    source = (
        "def handler(event, context):\n    return {'body': 'Hello, ' + event['name'], 'id': context.function_name}\n"
    )
    bucket(grid, "functions/hello-python/v1.zip", source)
    registration = {
        "function_name": "hello",
        "runtime": "python3.9",
        "handler": "main.handler",
        "s3_key": "functions/hello-python/v1.zip",
    }

    made = grid.http.post("/functions", json=registration)
    answer = grid.http.post("/run", json={"functionId": "hello-python", "inputData": {"name": "그리드"}}).json()
    request_id = f"req-{uuid.uuid4()}"
    await put(queue, requestId=request_id, functionId="hello-python", inputData={"name": "queue"}, timeoutMs=2500)

    assert (made.status_code, made.json()["function_id"]) == (201, "hello-python"), made.text
    assert answer["result"] == {"body": "Hello, 그리드", "id": "hello-python"}, answer
    assert grid.ended(request_id)["result"]["body"] == "Hello, queue"
    again = grid.http.post("/functions", json=registration | {"function_id": "hello-python"})
    assert (again.status_code, again.json()["reason"]) == (409, "CONFLICT")


def test_an_id_may_be_taken_again_after_its_function_was_deleted_and_never_runs_the_old_code(grid: Grid):
    def register(version: int) -> httpx.Response:
        key = f"functions/versioned/v{version}.zip"
        bucket(grid, key, f"def handler(event, context):\n    return {version}\n")
        body = {"function_id": "versioned", "function_name": "f", "runtime": "python", "s3_key": key}
        return grid.http.post("/functions", json=body)

    for version in (1, 2, 3):
        assert register(version).status_code == 201
        results = {grid.run("versioned")["result"] for _ in range(4)}  # warm sandboxes of both executors included
        assert results == {version}
        assert grid.http.delete("/functions/versioned").status_code == 204
        gone = grid.http.post("/run", json={"function_id": "versioned"})
        assert gone.status_code == 404, gone.text


async def test_a_time_limit_in_milliseconds_is_kept_to_the_millisecond(grid: Grid, queue: TaskQueue):
    function_id = grid.upload("import time\ndef handler(event, context):\n    time.sleep(60)\n")
    request_id = f"req-{uuid.uuid4()}"

    await put(queue, requestId=request_id, functionId=function_id, timeoutMs=250)

    job = grid.ended(request_id)
    assert (job["status"], job["error"]["type"]) == ("FAILED", "Timeout"), job
    assert "0.25 s" in job["error"]["message"]


def test_a_runtime_that_nothing_can_stand_in_for_is_refused_with_what_is_offered(grid: Grid):
    refused = grid.try_upload(VERSION, runtime="python3").json()

    assert refused["reason"] == "RUNTIME_NOT_SUPPORTED"
    assert refused["detail"].endswith("did you mean 'python'?")
    assert "python3.11" in refused["detail"]


async def test_who_subscribes_to_a_jobs_result_is_told_as_rest_tells_it(grid: Grid, queue: TaskQueue):
    source = "def handler(event, context):\n    open('/output/a.txt', 'w').write('a')\n    return event\n"
    function_id, jobs = grid.upload(source), {name: str(uuid.uuid4()) for name in ("job_id", "requestId")}
    async with Redis.from_url(grid.described("redis_url")) as client, client.pubsub() as heard:
        await heard.subscribe(*(f"result:{job}" for job in jobs.values()))
        await put(queue, job_id=jobs["job_id"], function_id=function_id, payload=[1])
        await put(queue, requestId=jobs["requestId"], functionId=function_id, inputData=[1])

        told = [json.loads(said["data"]) async for said in _first(heard, 2)]

    by_id = {one.get("job_id") or one["requestId"]: one for one in told}
    assert by_id[jobs["job_id"]]["status"] == "completed"
    assert by_id[jobs["requestId"]]["status"] == "SUCCESS"
    for one in told:
        [url] = one.get("output_files") or one["outputFiles"]
        assert (one["result"], grid.http.get(url).text) == ([1], "a")


async def _first(heard: PubSub, count: int) -> AsyncIterator[dict[str, Any]]:
    async for said in heard.listen():
        if said["type"] == "message":
            yield said
            count -= 1
        if not count:
            return


def test_ready_names_all_that_a_job_needs(grid: Grid, sandbox_url: str):
    answer = grid.http.get("/ready")

    assert answer.status_code == 200
    dependencies = answer.json()["dependencies"]
    assert set(dependencies.values()) == {"serving"}
    assert {"registry", "artifacts", "invoker", "redis", "queue"} <= dependencies.keys()


async def test_keys_and_dead_letters_are_those_of_the_grid_that_is_named(grid: Grid, queue: TaskQueue, tmp_path: Path):
    mark = str(uuid.uuid4())
    await put(queue, job_id=f"job-{mark}", function_id="f/g")
    grid.ended(f"job-{mark}")
    elsewhere = Terminal(tmp_path, NANOGRID_INTERNAL_TOKEN=(grid.folder / "internal-token").read_text())

    def dead() -> list[str]:
        letters = json.loads(elsewhere.nanogrid("dlq", "list", "--url", grid.url, "-o", "json").stdout)["letters"]
        return [letter["letter_id"] for letter in letters if mark in json.dumps(letter)]

    [letter] = wait_until(dead)
    made = elsewhere.nanogrid("keys", "create", "alice", "--url", grid.url, "-o", "json")
    listed = elsewhere.nanogrid("keys", "list", "--url", grid.url)
    asked = elsewhere.nanogrid("dlq", "purge", letter, "--url", grid.url)
    purged = elsewhere.nanogrid("dlq", "purge", letter, "--yes", "--url", grid.url)

    assert json.loads(made.stdout)["key_id"] in listed.stdout
    assert (asked.returncode, "--yes deletes without" in asked.stderr) == (2, True)
    assert (purged.returncode, dead()) == (0, [])
