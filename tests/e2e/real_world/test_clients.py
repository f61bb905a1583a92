"""Clients as they are: what curl, browsers, .NET, requests and tools in between send, and what they expect back."""

import base64
import gzip
import json
import subprocess
import unicodedata
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import requests

from nanogrid.queue import TaskQueue, open_queue
from support.archives import Member, archive
from support.grid import Grid
from support.waiting import WATCHDOG_S

pytestmark = pytest.mark.backends("embedded")  # what is tried here is the same on every family

ECHO = "def handler(event, context): return event"


@pytest.fixture(scope="module")
def echo(grid: Grid) -> str:
    return grid.upload(ECHO, function_name="clients-echo")


@pytest.fixture
async def queue(grid: Grid) -> AsyncIterator[TaskQueue]:
    async with open_queue(grid.queue_url, f"clients-{uuid.uuid4()}") as opened:
        yield opened


def test_ids_in_capitals_are_the_same_ids(grid: Grid):
    made = grid.upload(ECHO)
    function_id = made.upper()

    job = grid.run(function_id, {"a": 1})
    camel = grid.http.post("/run", json={"functionId": function_id}).json()

    assert (job["result"], job["function_id"]) == ({"a": 1}, made)
    assert camel["functionId"] == made
    for path in (f"/status/{job['job_id'].upper()}", f"/jobs/{job['job_id'].replace('job-', 'JOB-')}"):
        assert grid.http.get(path).json()["job_id"] == job["job_id"]
    listed = grid.http.get("/jobs", params={"function_id": function_id}).json()["jobs"]
    assert {one["job_id"] for one in listed} == {job["job_id"], camel["requestId"]}
    assert grid.http.get(f"/functions/{function_id}").json()["function_id"] == made
    assert grid.http.delete(f"/functions/{function_id}").status_code == 204
    assert grid.http.get(f"/functions/{made}").status_code == 404


def test_a_call_repeated_under_its_key_with_the_id_in_capitals_is_the_same_call(grid: Grid, echo: str):
    key = {"Idempotency-Key": str(uuid.uuid4())}

    jobs = [grid.run(spelt, {"a": 1}, **key)["job_id"] for spelt in (echo, echo.upper())]

    assert jobs[0] == jobs[1]


async def test_a_message_by_hand_with_ids_in_capitals_is_found_by_either(grid: Grid, queue: TaskQueue, echo: str):
    request_id = str(uuid.uuid4()).upper()

    await queue.send(json.dumps({"requestId": request_id, "functionId": echo.upper()}).encode())

    job = grid.ended(request_id)
    assert (job["requestId"], job["functionId"], job["status"]) == (request_id, echo, "SUCCESS")
    listed = grid.http.get("/jobs", params={"function_id": echo}).json()["jobs"]
    assert request_id in {one["job_id"] for one in listed}


def test_a_compressed_call_and_a_compressed_upload_are_taken(grid: Grid):
    form = grid.http.build_request("POST", "/upload", files={"file": ("main.py", ECHO)}, data=FORM)
    packed = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}

    made = grid.http.post("/upload", content=gzip.compress(form.read()), headers=packed)
    call = json.dumps({"function_id": made.json()["function_id"], "payload": {"글": "값"}}).encode()
    job = grid.http.post("/run", content=gzip.compress(call), headers=JSON | {"content-encoding": "gzip"})

    assert job.json()["result"] == {"글": "값"}


def test_a_download_that_broke_off_is_resumed_and_a_file_that_is_there_is_not_sent_again(grid: Grid):
    content = bytes(range(256)) * 8000
    writer = grid.upload("def handler(event, context): open('/output/a.bin', 'wb').write(bytes(range(256)) * 8000)\n")
    [url] = grid.run(writer)["output_files"]
    with httpx.Client(trust_env=False, timeout=WATCHDOG_S) as browser:
        head = browser.head(url)
        tag, modified = head.headers["etag"], head.headers["last-modified"]
        rest = browser.get(url, headers={"range": "bytes=1500000-", "if-range": tag})
        end = browser.get(url, headers={"range": "bytes=-300", "if-range": modified})

        assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
        assert (rest.status_code, rest.content) == (206, content[1_500_000:])
        assert (end.status_code, end.content) == (206, content[-300:])
        assert browser.get(url, headers={"range": "bytes=2048000-"}).headers["content-range"] == "bytes */2048000"
        assert browser.get(url, headers={"if-none-match": tag}).status_code == 304
        assert browser.get(url, headers={"if-modified-since": modified}).status_code == 304


def test_curl_resumes_a_download(grid: Grid, tmp_path: Path):
    writer = grid.upload("def handler(event, context): open('/output/a.bin', 'wb').write(b'0123456789' * 9999)\n")
    [url] = grid.run(writer)["output_files"]
    file = tmp_path / "a.bin"
    file.write_bytes(b"0123456789" * 100)

    subprocess.run(["curl", "-sS", "--noproxy", "*", "-C", "-", "-o", str(file), url], check=True)

    assert file.read_bytes() == b"0123456789" * 9999


NAMES = ["hello.py", "Hello.PY", "함수.py", unicodedata.normalize("NFD", "함수.py"), "café.Py"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_runs_as_requests_sends_it(grid: Grid, name: str):
    answer = requests.post(f"{grid.url}/upload", data=FORM, files={"file": (name, ECHO)}, timeout=WATCHDOG_S)

    assert_runs(grid, answer.json(), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_runs_as_dotnet_sends_it(grid: Grid, name: str):
    word = base64.b64encode(name.encode()).decode()
    file = f"form-data; name=file; filename=\"=?utf-8?B?{word}?=\"; filename*=utf-8''{quote(name)}"
    head = "--B\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="
    fields = "".join(f"{head}{key}\r\n\r\n{value}\r\n" for key, value in FORM.items())
    body = f"{fields}--B\r\nContent-Disposition: {file}\r\n\r\n{ECHO}\r\n--B--\r\n"
    headers = {"content-type": 'multipart/form-data; boundary="B"'}

    answer = grid.http.post("/upload", content=body.encode(), headers=headers)

    assert_runs(grid, answer.json(), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_runs_as_curl_sends_it(grid: Grid, tmp_path: Path, name: str):
    (tmp_path / name).write_text(ECHO)
    fields = [word for key, value in FORM.items() for word in ("-F", f"{key}={value}")]

    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", *fields, "-F", f"file=@{name}", f"{grid.url}/upload"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    assert_runs(grid, json.loads(done.stdout), name)


def assert_runs(grid: Grid, function: dict[str, str], name: str) -> None:
    stem = unicodedata.normalize("NFC", name).rpartition(".")[0]
    assert function["handler"] == f"{stem}.handler", function
    assert grid.run(function["function_id"], {"a": 1})["result"] == {"a": 1}


@pytest.mark.parametrize(
    ("name", "runtime", "source", "handler"),
    [
        ("X.JS", "nodejs", "exports.handler = (event) => event;", "X.handler"),
        ("x.MJS", "nodejs", "export const handler = (event) => event;", "x.handler"),
        ("A.Cpp", "cpp", "#include <iostream>\nint main() { std::cout << std::cin.rdbuf(); }\n", "A.cpp"),
        ("b.GO", "go", 'package main\nimport ("io"; "os")\nfunc main() { io.Copy(os.Stdout, os.Stdin) }\n', "b.go"),
        ("APP.ZIP", "python", archive(Member("main.py", ECHO.encode())), "main.handler"),
    ],
)
def test_an_ending_in_capitals_is_the_same_ending(  # noqa: PLR0917 - rows of a table
    grid: Grid, sandbox_url: str, name: str, runtime: str, source: str | bytes, handler: str
) -> None:
    if runtime in {"cpp", "go"} and sandbox_url != "docker:":
        pytest.skip("compiled functions are built and run in docker: sandboxes only")
    made = grid.try_upload(source, name, runtime=runtime).json()

    assert made["handler"] == handler, made
    assert grid.run(made["function_id"], {"a": 1})["result"] == {"a": 1}


@pytest.mark.parametrize("name", ["a.CC", "a.TS", "x.CJS", "README", "A.TAR.GZ"])
def test_an_ending_that_is_not_taken_is_refused_under_the_name_of_its_field(grid: Grid, name: str) -> None:
    refused = grid.try_upload(ECHO, name).json()

    assert (refused["status"], refused["field"]) == (400, "file")
    assert "is of no kind taken here; send .py, .js" in refused["detail"]


def test_what_was_named_on_a_mac_is_found_by_what_a_keyboard_types(grid: Grid):
    typed = f"계산기 {uuid.uuid4()}"
    on_mac = unicodedata.normalize("NFD", typed)
    handler = unicodedata.normalize("NFD", "함수.처리")
    code = "def 처리(event, context): return '값'\n"
    made = grid.try_upload(code, "함수.py", function_name=on_mac, handler=handler).json()

    by_either = [grid.http.get("/functions", params={"name": name}).json()["functions"] for name in (typed, on_mac)]
    called = [grid.http.post("/run", json={"function_name": name}).json()["result"] for name in (typed, on_mac)]
    missing = grid.http.post("/run", json={"function_name": unicodedata.normalize("NFD", "없는 함수")}).json()

    assert (made["function_name"], made["handler"]) == (typed, "함수.처리")
    assert by_either[0] == by_either[1] == [made]
    assert called == ["값", "값"]
    assert missing["detail"] == unicodedata.normalize("NFC", missing["detail"])


FORM = {"function_name": "f", "runtime": "python"}
JSON = {"content-type": "application/json"}
