"""What users do, over HTTP, against the whole grid."""

import base64
import io
import json
import os
import signal
import zipfile
from pathlib import Path

import boto3
import pytest
from PIL import Image

from support.grid import Grid
from support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_hello(grid: Grid) -> None:
    function_id = grid.upload((EXAMPLES / "hello" / "main.py").read_bytes())

    job = grid.run(function_id)

    assert job["status"] == "completed"
    assert job["result"]["body"] == "Hello, NanoGrid!"
    assert job["exit_code"] == 0
    assert job["peak_memory_bytes"] >= 0  # the kernel counts in steps of 256 KiB: so small a call may show as nothing
    assert job["runtime_memory_bytes"] > 1_000_000
    assert "MiB would do" in job["optimization_tip"]
    assert job["cold_start"] is True
    again = [grid.run(function_id)["cold_start"] for _ in range(20)]
    assert sum(again) <= 1  # once more on the other executor


def test_a_picture_is_resized_and_its_url_opens_without_a_key(grid: Grid) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (400, 300), "teal").save(picture, "PNG")
    function_id = grid.upload((EXAMPLES / "image-processor" / "main.py").read_bytes())
    payload = {"image": base64.b64encode(picture.getvalue()).decode(), "width": 100, "height": 75}

    job = grid.run(function_id, payload)

    assert job["status"] == "completed", job
    [url] = job["output_files"]
    fetched = grid.http.get(url)
    assert fetched.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(fetched.content)).size == (100, 75)
    if "X-Amz-Signature=" not in url:  # that is for S3 to check, and the tests' S3 does not
        assert grid.http.get(url.replace("signature=", "signature=0")).status_code == 404


def test_an_async_call_is_polled_to_its_result(grid: Grid) -> None:
    function_id = grid.upload("import time\ndef handler(e, c):\n    time.sleep(1)\n    return e['n'] + 1")

    answer = grid.http.post("/run", json={"function_id": function_id, "payload": {"n": 1}}, headers={"X-Async": "true"})

    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted["status"] == "pending"
    assert accepted["message"] == f"Job submitted. Poll GET /status/{accepted['job_id']} for results."
    assert answer.headers["location"] == f"/status/{accepted['job_id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert grid.http.get(answer.headers["location"]).json()["status"] in ("pending", "running")
    assert grid.wait(accepted["job_id"])["result"] == 2


def test_a_script_without_a_handler_is_run_as_a_program(grid: Grid) -> None:
    script = (
        "import json, os, sys\n"
        "if __name__ == '__main__':\n"
        "    event = json.load(sys.stdin)\n"
        "    assert json.loads(os.environ['PAYLOAD']) == event\n"
        "    print('working')\n"
        "    print(json.dumps({'twice': event['n'] * 2}))\n"
    )
    function_id = grid.upload(script)

    job = grid.run(function_id, {"n": 21})

    assert (job["status"], job["result"], job["exit_code"]) == ("completed", {"twice": 42}, 0)
    assert job["stdout"].startswith("working\n")


def test_the_second_dialect_answers_in_its_own_spelling(grid: Grid) -> None:
    function_id = grid.upload("def handler(event, context):\n    print('hi')\n    return event")
    body = {"functionId": function_id, "inputData": {"이름": "나노"}}

    answer = grid.http.post("/run", json=body).json()

    assert answer["status"] == "SUCCESS"
    assert answer["result"] == {"이름": "나노"}
    assert (answer["exitCode"], answer["stdout"], answer["stderr"]) == (0, "hi\n", "")
    assert isinstance(answer["peakMemoryMB"], int)
    assert answer["optimizationTip"].startswith("💡 Tip:")
    assert answer["durationMillis"] >= 0
    status = grid.http.get(f"/status/{answer['requestId']}").json()
    assert (status["requestId"], status["status"]) == (answer["requestId"], "SUCCESS")
    accepted = grid.http.post("/run", json=body, headers={"X-Async": "true"})
    assert accepted.status_code == 202
    assert grid.wait(accepted.json()["requestId"])["status"] == "SUCCESS"


FAILURES = {
    "raises": ("def handler(e, c):\n    raise ValueError('no good')", "HandlerError", "no good"),
    "exits": ("import sys\ndef handler(e, c):\n    sys.exit(0)", "ExitError", "exit"),
    "leaves at once": ("import os\ndef handler(e, c):\n    os._exit(3)", "ExitError", "3"),
    "is killed": ("import os\ndef handler(e, c):\n    os.kill(os.getpid(), 9)", "ExitError", ""),
    "returns what is not JSON": ("def handler(e, c):\n    return {1, 2}", "ResultInvalid", "JSON"),
    "returns NaN": ("def handler(e, c):\n    return float('nan')", "ResultInvalid", ""),
    "never returns": ("def handler(e, c):\n    while True: pass", "Timeout", "2 s"),
    "cannot be imported": ("import nothing_like_this\ndef handler(e, c): pass", "InitError", "nothing_like_this"),
    "is no Python": ("def handler(e, c)\n    pass", "InitError", ""),
    "fills its memory": ("def handler(e, c):\n    return len(b'x' * 500_000_000)", "OutOfMemory", "128"),
}


@pytest.mark.backends("embedded")  # how a handler fails is the sandbox's affair
@pytest.mark.parametrize("what", FAILURES)
def test_a_handler_that_fails_is_data_and_the_executor_serves_on(grid: Grid, what: str, sandbox_url: str) -> None:
    source, kind, message = FAILURES[what]
    function_id = grid.upload(source, timeout=2 if kind == "Timeout" else 60, memory_mb=128)

    job = grid.run(function_id)

    assert (job["status"], job["error"]["type"]) == ("failed", kind), job
    assert message in job["error"]["message"]
    assert job["result"] is None
    assert grid.run(grid.upload("def handler(e, c): return 'next'"))["result"] == "next"


def test_a_failing_job_shows_its_stack_without_ours(grid: Grid) -> None:
    job = grid.run(grid.upload("def inner():\n    raise KeyError('k')\ndef handler(e, c):\n    inner()"))

    stack = job["error"]["stack"]
    assert "in inner" in stack
    assert "nanogrid" not in stack


def test_printing_50_megabytes_succeeds_with_the_output_cut_and_marked(grid: Grid) -> None:
    source = "def handler(e, c):\n    for _ in range(500):\n        print('x' * 99_999)\n    return 'done'"

    job = grid.run(grid.upload(source))

    assert (job["status"], job["result"]) == ("completed", "done")
    assert 1_000_000 <= len(job["stdout"]) < 1_000_100
    assert "more bytes]" in job["stdout"][-60:]


def test_a_handler_named_otherwise_in_a_folder_of_a_zip(grid: Grid, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as bundle:
        bundle.writestr("app/work.py", "from app.part import VALUE\ndef go(event, context): return VALUE")
        bundle.writestr("app/__init__.py", "")
        bundle.writestr("app/part.py", "VALUE = '한글'")

    function_id = grid.upload((tmp_path / "code.zip").read_bytes(), "code.zip", handler="app.work.go")

    assert grid.run(function_id)["result"] == "한글"


@pytest.mark.backends("embedded")  # likewise
def test_the_fat_packages_are_there(grid: Grid, sandbox_url: str) -> None:
    source = (
        "import boto3, httpx, numpy, pandas, PIL, requests\n"
        "def handler(e, c): return int(numpy.arange(5).sum()) + len(pandas.DataFrame({'a': [1]}))"
    )

    job = grid.run(grid.upload(source))

    assert job["result"] == 11, job


def test_environment_and_payload_file(grid: Grid) -> None:
    source = (
        "import json, os\n"
        "def handler(e, c):\n"
        "    with open(os.environ['PAYLOAD_FILE'], encoding='utf-8') as f:\n"
        "        assert json.load(f) == e\n"
        "    return [os.environ['GREETING'], os.environ['HANDLER'], os.environ['JOB_ID'], len(os.environ['PAYLOAD'])]"
    )
    function_id = grid.upload(source, env=json.dumps({"GREETING": "안녕"}))

    small = grid.run(function_id, {"a": 1})
    large = grid.run(function_id, {"a": "x" * 200_000})

    assert small["result"] == ["안녕", "main.handler", small["job_id"], 7]
    assert large["result"][3] == 0


def test_two_executors_share_one_queue(grid: Grid) -> None:
    function_id = grid.upload("import time\ndef handler(e, c): time.sleep(0.3)")
    ids = [grid.run(function_id, **{"X-Async": "true"})["job_id"] for _ in range(24)]

    for job_id in ids:
        assert grid.wait(job_id)["status"] == "completed"

    addresses = _executor_addresses(grid, ids)
    assert len(addresses) == 2


def _executor_addresses(grid: Grid, ids: list[str]) -> set[str]:
    return {grid.http.get(f"/status/{job_id}").json()["executor_id"] for job_id in ids}


def test_an_executor_killed_between_jobs_is_replaced_and_nothing_is_lost(grid: Grid) -> None:
    function_id = grid.upload("def handler(e, c): return e['n']")
    assert grid.run(function_id, {"n": 0})["result"] == 0

    for victim in grid.pids("services.executor"):
        os.kill(victim, signal.SIGKILL)
    ids = [grid.run(function_id, {"n": n}, **{"X-Async": "true"})["job_id"] for n in range(5)]

    assert [grid.wait(job_id)["result"] for job_id in ids] == [0, 1, 2, 3, 4]
    wait_until(lambda: len(grid.pids("services.executor")) == 2)


def stored_code(grid: Grid) -> list[str]:
    """What lies in the code bucket."""
    if bucket := grid.env.get("S3_BUCKET"):
        s3 = boto3.client(
            "s3",
            endpoint_url=grid.env["AWS_ENDPOINT_URL"],
            region_name=grid.env["AWS_REGION"],
            aws_access_key_id=grid.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=grid.env["AWS_SECRET_ACCESS_KEY"],
        )
        return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    code = grid.folder / "artifacts" / "code"
    return [str(path) for path in code.rglob("*.zip")]


def test_functions_are_listed_read_and_deleted(grid: Grid) -> None:
    function_id = grid.upload("def handler(e, c): return 1", function_name="삭제")
    assert grid.run(function_id)["result"] == 1
    assert any(function_id in key for key in stored_code(grid))

    read = grid.http.get(f"/functions/{function_id}").json()
    listed = grid.http.get("/functions", params={"limit": 100}).json()["functions"]
    named = grid.http.get("/functions", params={"name": "삭제"}).json()["functions"]

    assert read["function_name"] == "삭제"
    assert function_id in [one["function_id"] for one in listed]
    assert [one["function_id"] for one in named] == [function_id]
    assert grid.http.delete(f"/functions/{function_id}").status_code == 204
    assert grid.http.get(f"/functions/{function_id}").status_code == 404
    assert grid.http.post("/run", json={"function_id": function_id}).status_code == 404
    wait_until(lambda: not any(function_id in key for key in stored_code(grid)), "its code is still there")


@pytest.mark.backends("embedded")  # the tests' S3 would hold it in memory three times over
def test_a_500_megabyte_upload_is_streamed(grid: Grid, tmp_path: Path) -> None:
    big = tmp_path / "big.zip"
    block = os.urandom(1_000_000)
    with zipfile.ZipFile(big, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr("main.py", "def handler(e, c): return 'big'")
        with bundle.open("data.bin", "w", force_zip64=True) as entry:
            for _ in range(500):
                entry.write(block)
    before = {part: grid.peak_memory_bytes(part) for part in ("gateway", "services.artifacts")}

    with big.open("rb") as file:
        form = {"function_name": "big", "runtime": "python"}
        answer = grid.http.post("/upload", files={"file": ("big.zip", file)}, data=form)

    assert answer.status_code == 201, answer.text
    for part, peak in before.items():
        assert grid.peak_memory_bytes(part) - peak < 64 * 1024 * 1024, part
