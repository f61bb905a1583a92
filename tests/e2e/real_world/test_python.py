"""Python as people bring it from elsewhere: from Lambda, from a Mac, scripts that grew, threads and C code."""

import io
import unicodedata
import zipfile

import pytest

from support.grid import Grid

pytestmark = pytest.mark.backends("embedded")  # the language is the executor's affair, whatever the backends


def packed(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return archive.getvalue()


def test_a_function_of_awss_console_runs_as_it_was_downloaded(grid: Grid) -> None:
    code = """
import json, logging
from tools import greet
logger = logging.getLogger()
logger.setLevel(logging.INFO)
def lambda_handler(event, context):
    logger.info("request %s", context.aws_request_id)
    return {"statusCode": 200, "body": json.dumps(greet(event["name"]), ensure_ascii=False)}
"""
    files = {"lambda_function.py": code, "tools.py": "def greet(name): return f'안녕, {name}'\n"}

    job = grid.run(grid.upload(packed(files), "code.zip"), {"name": "나노"})

    assert job["result"] == {"statusCode": 200, "body": '"안녕, 나노"'}, job
    [line] = job["stderr"].splitlines()
    assert line.startswith("[INFO]\t")
    assert line.endswith(f"Z\t{job['job_id']}\trequest {job['job_id']}")


def test_a_file_with_nothing_but_a_lambda_handler_needs_no_handler_named(grid: Grid) -> None:
    job = grid.run(grid.upload("def lambda_handler(event, context): return event['n'] + 1\n", "hello.py"), {"n": 1})

    assert (job["status"], job["result"]) == ("completed", 2)


def test_a_handler_that_is_imported_from_wherever_it_is_there_is_no_program(grid: Grid) -> None:
    main = "try:\n    from fast import *\nexcept ImportError:\n    from slow import *\n"
    files = {"main.py": main, "slow.py": "def handler(event, context): return 'slow'\n"}

    assert grid.run(grid.upload(packed(files), "code.zip"))["result"] == "slow"


def test_a_handler_that_is_not_there_is_answered_with_what_is(grid: Grid) -> None:
    code = "def process(event, context): pass\ndef on_event(event, context): pass\n"

    job = grid.run(grid.upload(code, handler="main.handle"))

    assert (job["status"], job["error"]["type"]) == ("failed", "InitError")
    assert job["error"]["message"] == "handler: module 'main' has no 'handle'; it defines: process, on_event"


@pytest.mark.parametrize("name", ["token.py", "json.py", "app.v2.py", "time.py", "test.py"])
def test_a_file_may_have_any_name(grid: Grid, name: str) -> None:
    imports = "import json, requests, time, tokenize\n"
    code = imports + "def handler(event, context): return [json.dumps(event), time.time() > 0]\n"

    job = grid.run(grid.upload(code, name), {"a": 1})

    assert job["result"] == ['{"a": 1}', True], job


def test_what_a_mac_zips_is_found_under_the_names_that_are_typed(grid: Grid) -> None:
    code = "import 도구\ndef 처리(event, context): return [도구.값, open('자료/메모.txt').read()]\n"
    files = {"앱.py": code, "도구.py": "값 = 1\n", "자료/메모.txt": "둘"}
    stored = {unicodedata.normalize("NFD", name): text for name, text in files.items()}

    grid.upload(packed(stored), "code.zip", handler="앱.처리", function_name=unicodedata.normalize("NFD", "한글 함수"))
    answer = grid.http.post("/run", json={"function_name": "한글 함수", "payload": {}}).json()

    assert answer["result"] == [1, "둘"], answer


def test_integers_beyond_64_bits_stay_what_they_are(grid: Grid) -> None:
    number = 2**64 + 1
    handler = grid.upload("def handler(event, context): return [event['n'], event['n'] ** 5, 2 ** 9000]\n")
    program = grid.upload("import json, sys\nprint(json.dumps(json.load(sys.stdin)['n'] + 1))\n")

    assert grid.run(handler, {"n": number})["result"] == [number, number**5, 2**9000]
    assert grid.run(program, {"n": number})["result"] == number + 1


@pytest.mark.parametrize("mode", ["reuse", "fresh"])
def test_what_c_code_prints_is_in_the_calls_own_output(grid: Grid, mode: str) -> None:
    code = "import ctypes\ndef handler(event, context): ctypes.CDLL(None).printf(b'call %d\\n', event['n'])\n"
    function_id = grid.upload(code, mode=mode)

    assert [grid.run(function_id, {"n": n})["stdout"] for n in (1, 2)] == ["call 1\n", "call 2\n"]


def test_a_fresh_call_has_the_threads_that_its_module_started(grid: Grid) -> None:
    code = """
import logging, logging.handlers, queue, threading
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
pool.submit(int).result()
lines = queue.Queue()
listener = logging.handlers.QueueListener(lines, logging.StreamHandler())
listener.start()
logging.getLogger().addHandler(logging.handlers.QueueHandler(lines))
logging.getLogger().setLevel("INFO")
def handler(event, context):
    value = pool.submit(lambda: event["n"] * 2).result()
    logging.info("made %d", value)
    listener.stop()
    return value
"""
    function_id = grid.upload(code, mode="fresh")

    for n in (1, 2, 3):
        job = grid.run(function_id, {"n": n})

        assert (job["result"], job["stderr"]) == (2 * n, f"made {2 * n}\n"), job


def test_a_variable_that_python_reads_when_it_starts_counts(grid: Grid) -> None:
    flags = "[hash('a'), sys.flags.optimize, sys.flags.hash_randomization]"
    code = f"import sys\ndef handler(event, context): return {flags}\n"
    env = '{"PYTHONHASHSEED": "0", "PYTHONOPTIMIZE": "1", "LANG": "ko_KR.UTF-8", "TZ": "Asia/Seoul"}'

    one, other = [grid.run(grid.upload(code, env=env))["result"] for _ in range(2)]

    assert one == other
    assert one[1:] == [1, 0]


def test_processes_are_spawned_and_talk_to_a_server_on_localhost(grid: Grid) -> None:
    code = """
import getpass, http.server, multiprocessing, pathlib, threading, urllib.request
def ask(port):
    return urllib.request.urlopen(f"http://localhost:{port}/").read().decode()
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
    def log_message(self, *_): pass
def handler(event, context):
    server = http.server.ThreadingHTTPServer(("localhost", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        said = pool.map(ask, [server.server_port] * 2)
    pathlib.Path.home().joinpath(".cache").mkdir()
    return [said, getpass.getuser(), str(pathlib.Path.home())]
"""
    assert grid.run(grid.upload(code))["result"] == [["hello", "hello"], "nanogrid", "/tmp"]


def test_an_error_with_half_a_character_is_the_functions_own(grid: Grid) -> None:
    job = grid.run(grid.upload("def handler(event, context): raise ValueError('bad name: \\udcff')\n"))

    assert (job["status"], job["error"]["type"]) == ("failed", "HandlerError")
    assert job["error"]["message"] == r"ValueError: bad name: \udcff"


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit(-1)", 255, "exited with status 255"),
        ("sys.exit(137)", 137, "exited with status 137"),
        ("os.kill(os.getpid(), 9)", 137, "was killed by SIGKILL (status 137)"),
    ],
)
@pytest.mark.parametrize("as_program", [False, True])
def test_an_exit_and_a_signal_are_told_apart(grid: Grid, end: str, code: int, said: str, *, as_program: bool) -> None:
    source = "import os, sys\n" + (end if as_program else f"def handler(event, context): {end}") + "\n"

    job = grid.run(grid.upload(source))

    assert (job["status"], job["error"]["type"], job["exit_code"]) == ("failed", "ExitError", code)
    assert job["error"]["message"] == f"the function's process {said}"


def test_a_script_in_a_folder_runs_beside_its_neighbours(grid: Grid) -> None:
    files = {
        "jobs/report.py": "import json, tools\nfrom . import tools as same\nprint(json.dumps(tools.n + same.n))\n",
        "jobs/tools.py": "n = 21\n",
    }

    job = grid.run(grid.upload(packed(files), "code.zip", handler="jobs/report.handler"))

    assert (job["status"], job["result"]) == ("completed", 42), job
