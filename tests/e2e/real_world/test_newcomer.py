"""A newcomer's mistakes, made by REST and on the command line: each answer names the cause and the cure."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.grid import Grid
from support.http_api import http_api
from support.redis_server import free_port
from support.terminal import Terminal, terminal

pytestmark = pytest.mark.backends("embedded")  # words are the same on every family

HELLO = "def handler(event, context):\n    return event\n"
JSON = {"content-type": "application/json"}
NO_SUCH = "0b6f7a52-3c1d-4e8f-9a20-5d6c7b8a9e01"
FORM = {"function_name": "hello", "runtime": "python"}
FILE = ("hello.py", HELLO)
REFUSED, NOT_FOUND, UNAVAILABLE = 2, 3, 5


@pytest.fixture(scope="module")
def hello(grid: Grid) -> str:
    return grid.upload(HELLO, "hello.py", function_name="newcomer-hello")


@pytest.fixture(scope="module")
def shell(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal that has a grid, in a folder with a few files."""
    with terminal(tmp_path_factory.mktemp("newcomer"), NANOGRID_URL=grid.url) as opened:
        (opened.folder / "hello.py").write_text(HELLO)
        (opened.folder / "event.json").write_text('{"name": "you"}')
        (opened.folder / "notes.txt").write_text("what I want to do")
        yield opened


@pytest.mark.parametrize(
    ("body", "cause", "cure"),
    [
        (b"", "is empty", "send a JSON object"),
        (b"{'function_id': 'ID'}", "has single quotes", '{"name": "value"}'),
        (b'\'{"function_id": "ID"}\'', "begins with a single quote", 'quote with "'),
        (b"{function_id: ID}", "has names without quotes", '{"name": '),
        (b'{"function_id": "ID",}', "has a comma behind its last entry", "leave it out"),
        (b'{"function_id": "ID" "payload": {}}', "lacks a comma", "put one there, near"),
        (b'{"function_id": "ID", "payload": None}', "as Python prints them", "true, false, null"),
        (b'{"function_id": "ID", "payload": {"n": NaN}}', "NaN", "send null"),
        (b'{"function_id": "ID"} // mine', "has a comment", "leave it out"),
        ("{“function_id”: “ID”}".encode(), "typographic quotes", "write straight ones"),
        ("\ufeff{}".encode(), "byte order mark", "UTF-8 without one"),
        ('{"function_id": "ID"}'.encode("utf-16"), "UTF-16", "send UTF-8"),
        (b"@event.json", "is the name of a file", "-d @file"),
        (b"function_id=ID&payload=1", "is a form", "send JSON"),
        (b'"{\\"function_id\\": \\"ID\\"}"', "is JSON inside a JSON string", "send the object itself"),
        (b'[{"function_id": "ID"}]', "is a list", "send an object"),
        (b"<run/>", "is HTML or XML", "send JSON"),
        (b'{"function_id": "ID"', "ends too early", "send a JSON object"),
        (b'{"payload": {}}', "function_id is missing", "the id that the upload answered"),
        (b'{"function_id": 12}', "function_id", "is not a string"),
        (b'{"name": "hello"}', "'name' is not a field", "did you mean 'function_name'?"),
        (b'{"function_id": "ID", "event": {}}', "'event' is not a field", "did you mean 'payload'?"),
        (b'{"function_id": "ID", "function_name": "hello"}', "are both there", "send one of them"),
    ],
)
def test_a_call_that_cannot_be_read_is_answered_with_how_to_write_it(
    grid: Grid, hello: str, body: bytes, cause: str, cure: str
) -> None:
    answer = grid.http.post("/run", content=body.replace(b"ID", hello.encode()), headers=JSON)

    told(answer.json(), 400, cause, cure)


@pytest.mark.parametrize(
    ("method", "path", "status", "cause", "cure"),
    [
        ("GET", "/run", 405, "/run takes POST, not GET", "/docs"),
        ("GET", "/upload", 405, "/upload takes POST, not GET", "/docs"),
        ("POST", "/status/job-1", 405, "takes GET, not POST", "/docs"),
        ("POST", "/invoke", 404, "nothing at /invoke", "did you mean POST /run?"),
        ("POST", "/api/v1/run", 404, "nothing at /api/v1/run", "did you mean POST /run?"),
        ("POST", "/run/", 404, "nothing at /run/", "did you mean POST /run?"),
        ("GET", "/status", 404, "nothing at /status", "did you mean GET /status/{job_id}?"),
        ("GET", "/function", 404, "nothing at /function", "did you mean POST or GET /functions?"),
        ("GET", "/swagger", 404, "nothing at /swagger", "did you mean GET /docs?"),
        ("GET", "/", 404, "nothing at /", "GET /docs lists what there is"),
        ("GET", f"/status/{NO_SUCH}", 404, "is unknown", "is this a function's?"),
        ("GET", f"/functions/job-{NO_SUCH}", 404, "is not there", "this is the id of a job"),
        ("GET", "/functions/hello", 404, "is not there", "GET /functions lists yours"),
    ],
)
def test_a_wrong_path_or_method_is_answered_with_the_right_one(  # noqa: PLR0917 - a row of the table
    grid: Grid, method: str, path: str, status: int, cause: str, cure: str
) -> None:
    told(grid.http.request(method, path, json={} if method == "POST" else None).json(), status, cause, cure)


@pytest.mark.parametrize(
    ("fields", "file", "cause", "cure"),
    [
        ({"runtime": "python3"}, FILE, "'python3' is not known", "did you mean 'python'?"),
        ({"runtime": "py3.11"}, FILE, "'py3.11' is not known", "did you mean 'python3.11'?"),
        ({"runtime": "node"}, FILE, "'node' is not known", "did you mean 'nodejs'?"),
        ({"runtime": ""}, FILE, "runtime: is missing", "python3.11"),
        ({"function_name": ""}, FILE, "function_name: is missing", "the name to call it by"),
        ({"name": "x"}, FILE, "'name' is not a field", "did you mean 'function_name'?"),
        ({"memory": "256"}, FILE, "'memory' is not a field", "did you mean 'memory_mb'?"),
        ({"handler": "handler"}, FILE, "is not module.function", "main.handler"),
        ({"timeout": "5m"}, FILE, "'5m' is not an integer", "seconds, such as 300"),
        ({"memory_mb": "1GB"}, FILE, "'1GB' is not an integer", "MiB, such as 512"),
        ({"memory_mb": "16"}, FILE, "memory_mb: is 16", "use 64 to"),
        ({"env": "KEY=value"}, FILE, "env: is not a JSON object", '{"KEY": "value"}'),
        ({"runtime": "nodejs"}, FILE, "a .py file does not run on nodejs", "or runtime=python"),
        ({}, ("notes.txt", "x"), "'notes.txt' is of no kind taken here", ".py, .js"),
        ({}, ("code.zip", "x"), "is not a whole zip file", "zip -r code.zip ."),
        ({}, ("hello.py", ""), "is empty", "send the code"),
        ({}, None, "file is missing", "-F file=@main.py"),
        ({"file": HELLO}, None, "file has no filename", "with the @"),
    ],
)
def test_an_upload_that_cannot_be_taken_is_answered_with_one_that_can(
    grid: Grid, fields: dict[str, str], file: tuple[str, str] | None, cause: str, cure: str
) -> None:
    parts: dict[str, Any] = {name: (None, value) for name, value in (FORM | fields).items()}

    answer = grid.http.post("/upload", files=parts | ({"file": file} if file else {}))

    told(answer.json(), 400, cause, cure)


def test_the_wrong_content_type_is_answered_with_the_right_one(grid: Grid, hello: str) -> None:
    told(grid.http.post("/run", data={"function_id": hello}).json(), 415, "x-www-form-urlencoded", "application/json")
    told(grid.http.post("/upload", data=FORM).json(), 415, "content-type", "curl does so for -F")


def test_a_deleted_function_and_a_name_sent_as_an_id_are_told_apart(grid: Grid) -> None:
    deleted = grid.upload(HELLO)
    grid.http.delete(f"/functions/{deleted}").raise_for_status()

    of_deleted, of_name = (
        grid.http.post("/run", json={"function_id": one}).json() for one in (deleted, "newcomer-hello")
    )

    told(of_deleted, 404, "it was deleted", "GET /functions lists yours")
    told(of_name, 404, "'newcomer-hello' is not there", "send that as function_name")


PYTHON = {
    "a syntax error": ("def handler(event, context)\n    pass\n", None, "main.py, line 1"),
    "tabs and blanks": ("def handler(event, context):\n\tif event:\n        pass\n", None, "main.py, line 3"),
    "a missing package": ("import yaml_x\ndef handler(e, c): pass\n", None, "pip install --target . yaml-x"),
    "a package of another name": ("def handler(e, c): import sklearn\n", None, "--target . scikit-learn"),
    "another name": ("import json\nX = json.dumps(1)\ndef main(e, c): pass\n", None, "handler=main.main"),
    "one argument": ("def handler(event): pass\n", None, "takes two arguments: event and context"),
    "a payload that is a list": ("def handler(e, c): return e['a']\n", [1], "the payload is a list, not an object"),
    "a payload that is text": ("def handler(e, c): return e.get(1)\n", "{}", "the payload is a string, not an object"),
    "a file beside the code": ("def handler(e, c): open('a.txt', 'w')\n", None, "write to /tmp"),
    "the network": (
        "def handler(e, c): import httpx; httpx.get('http://a.com')\n",
        None,
        "no network but $AI_ENDPOINT",
    ),
    "a result that is no JSON": ("def handler(e, c): return {1}\n", None, "set is not JSON serializable"),
}
NODE = {
    "a syntax error": ("exports.handler = async () => {\n", None, "main.js:2"),
    "a missing package": ("require('@a/b/c');\nexports.handler = () => 1;\n", None, "npm install @a/b"),
    "a missing file": ("require('./b');\nexports.handler = () => 1;\n", None, "put that file beside the handler"),
    "another name": ("exports.main = () => 1;\n", None, "it exports: main"),
    "no payload": ("exports.handler = (event) => event.a;\n", "null", "the payload is null, not an object"),
    "a file beside the code": ("exports.handler = () => require('fs').mkdirSync('a');\n", None, "write to /tmp"),
    "the network": ("exports.handler = () => fetch('http://example.com');\n", None, "no network but $AI_ENDPOINT"),
}
CPP = {
    "a missing semicolon": ("int main() { return 0 }\n", None, "main.cpp:1:22: error: expected"),
    "a missing library": ("#include <boost/any.hpp>\nint main() {}\n", None, "put the header into the code"),
    "no main": ("int run() { return 0; }\n", None, "no .cpp file of the code has a main()"),
}
GO = {
    "a missing package": ('package main\nimport _ "example.com/a"\nfunc main() {}\n', None, "`go mod vendor`"),
    "another package": ("package hello\nfunc main() {}\n", None, "`package main` and `func main()`"),
}
LANGUAGES = {"main.py": PYTHON, "main.js": NODE, "main.cpp": CPP, "main.go": GO}
RUNTIMES = {"main.py": "python", "main.js": "nodejs", "main.cpp": "cpp", "main.go": "go"}


@pytest.mark.parametrize(
    ("name", "source", "payload", "cure"),
    [pytest.param(name, *row, id=f"{name}, {why}") for name, rows in LANGUAGES.items() for why, row in rows.items()],
)
def test_code_that_cannot_work_fails_with_what_to_do(  # noqa: PLR0917 - a row of the table
    grid: Grid, sandbox_url: str, name: str, source: str, payload: Any, cure: str
) -> None:
    if sandbox_url != "docker:":
        pytest.skip("these are the limits of a docker: sandbox")
    function_id = grid.upload(source, name, runtime=RUNTIMES[name])
    call = json.dumps({"function_id": function_id, "payload": {} if payload is None else payload})

    job = grid.http.post("/run", content=call.replace('"null"', "null"), headers=JSON).json()

    assert job["status"] == "failed", job
    assert cure in f"{job['error']['message']}\n{job['error']['stack']}", job["error"]


@pytest.mark.parametrize(
    ("arguments", "code", "cause", "cure"),
    [
        (["invoke", "hello"], REFUSED, "no command 'invoke'", "nanogrid run"),
        (["uplaod", "hello.py"], REFUSED, "No such command 'uplaod'", "upload"),
        (["upload", "nothing.py"], REFUSED, "nothing.py", "no such file or folder"),
        (["upload", "notes.txt"], REFUSED, "notes.txt", "--runtime"),
        (["upload", "hello.py", "--runtime", "python3"], REFUSED, "not known", "did you mean 'python'?"),
        (["upload", "hello.py", "--env", "KEY"], REFUSED, "--env", "K=V"),
        (["run", "no-such"], NOT_FOUND, "'no-such'", "nanogrid functions list"),
        (["run", NO_SUCH], NOT_FOUND, "deleted", "lists yours"),
        (["run", "newcomer-hello", "{name: you}"], REFUSED, "names without quotes", '{"name": '),
        (["run", "newcomer-hello", "{'name': 'you'}"], REFUSED, "single quotes", '{"name": "value"}'),
        (["run", "newcomer-hello", "event.json"], REFUSED, "is the name of a file", "@event.json"),
        (["run", "newcomer-hello", "@nothing.json"], REFUSED, "nothing.json", "No such file"),
        (["status", NO_SUCH], NOT_FOUND, "unknown", "a job's id begins with job-"),
        (["functions", "list", "--url", "localhost:8080"], REFUSED, "--url", "write for example http://localhost:8080"),
        (["functions", "list", "--url", "https://PLACE"], UNAVAILABLE, "SSL", "http://"),
        (["functions", "list", "--url", "http://127.0.0.1:FREE"], UNAVAILABLE, "does not answer", "nanogrid up"),
    ],
)
def test_a_command_that_cannot_work_says_which_one_does(  # noqa: PLR0917 - a row of the table
    grid: Grid, hello: str, shell: Terminal, arguments: list[str], code: int, cause: str, cure: str
) -> None:
    place = urlsplit(grid.url).netloc
    done = shell.nanogrid(*(one.replace("PLACE", place).replace("FREE", str(free_port())) for one in arguments))

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert cause in done.stderr
    assert cure in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_of_another_program_is_no_nanogrid(shell: Terminal) -> None:
    with http_api() as other:
        other.on("GET /status/job-1", 404, b"<html>")
        done = shell.nanogrid("status", "job-1", "--url", other.url)

    assert "not as a NanoGrid answers" in done.stderr
    assert "is --url right?" in done.stderr


def test_a_second_grid_on_the_port_is_told_which_program_has_it(grid: Grid, tmp_path: Path) -> None:
    with terminal(tmp_path) as other:
        done = other.nanogrid("up", NANOGRID_GATEWAY_LISTEN=urlsplit(grid.url).netloc)

    assert done.returncode == UNAVAILABLE
    assert "is taken by another NanoGrid" in done.stderr
    assert "NANOGRID_GATEWAY_LISTEN=127.0.0.1:0 for a free port" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="a disk of its own takes root")
def test_a_full_disk_is_named_before_anything_starts(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        with terminal(tmp_path) as shell:
            done = shell.nanogrid("up", "--data-dir", str(disk / "data"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)

    assert done.returncode == UNAVAILABLE
    assert "8 MB are left on the disk" in done.stderr
    assert "make room, or set NANOGRID_DATA_DIR" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="becoming another user takes root")
def test_a_grid_without_root_says_why_functions_would_not_be_isolated() -> None:
    """Runs what `nanogrid up` starts, which cannot become another user in a folder that only root may enter."""
    command = "import os, sys; from services.__main__ import run; os.setuid(65534); sys.exit(run())"

    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        env = os.environ | {"NANOGRID_DATA_DIR": folder, "NANOGRID_EXECUTOR_SANDBOX_URL": "docker:"}
        done = subprocess.run([sys.executable, "-c", command], env=env, capture_output=True, text=True, check=False)

    assert "executors need root" in done.stderr
    assert "start the grid with sudo" in done.stderr


def told(problem: dict[str, Any], status: int, cause: str, cure: str) -> None:
    assert problem["status"] == status, problem
    assert cause in problem["detail"]
    assert cure in problem["detail"]
