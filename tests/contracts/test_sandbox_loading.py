"""What a handler's name may mean: a function, a program, or a mistake that its author is told about."""

import json
from pathlib import Path

import pytest

from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench, open_bench

PROGRAM = """
import json, os, sys
if __name__ == "__main__":
    event = json.load(sys.stdin)
    assert json.loads(os.environ["PAYLOAD"]) == event
    print("working on", event)
    print(json.dumps({"doubled": event * 2}))
"""


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_module_without_its_handler_is_run_as_a_program(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(PROGRAM, fresh=fresh)

    for number in (21, 4):
        called = await loaded.call(number)

        assert called.result.error is None
        assert called.result.exit_code == 0
        assert called.result.result is None
        assert json.loads(called.printed.out.splitlines()[-1]) == {"doubled": number * 2}
    assert loaded.kind is Kind.PROGRAM


@pytest.mark.parametrize(
    ("ending", "code"),
    [("sys.exit(4)", 4), ("os._exit(5)", 5), ("os.abort()", 134), ("raise ValueError('no')", 1), ("sys.exit('no')", 1)],
)
async def test_a_program_that_does_not_exit_with_0_is_an_exit_error(bench: Bench, ending: str, code: int) -> None:
    loaded = await bench.load(f"import os, sys\nprint('so far')\nsys.stdout.flush()\n{ending}\n")

    called = await loaded.call()

    assert called.error.type == "ExitError"
    assert called.result.exit_code == code
    assert called.printed.out == "so far\n"
    assert called.result.reusable


async def test_a_programs_traceback_is_its_own(bench: Bench) -> None:
    loaded = await bench.load("def f():\n    raise ValueError('no')\nf()\n")

    called = await loaded.call()

    assert called.printed.err.startswith('Traceback (most recent call last):\n  File "/code/main.py", line 3')
    assert "nanogrid_runtime" not in called.printed.err


async def test_a_program_ends_as_python_ends_it(bench: Bench) -> None:
    threads = "threading.Timer(0.05, print, ['thread']).start()\n"
    loaded = await bench.load("import atexit, threading\natexit.register(print, 'at exit')\n" + threads)

    called = await loaded.call()

    assert called.printed.out == "thread\nat exit\n"


async def test_a_program_may_exit_with_0_in_any_way(bench: Bench) -> None:
    loaded = await bench.load("import sys\nprint('{}')\nsys.exit(0)\n")

    called = await loaded.call()

    assert called.result.error is None
    assert called.result.exit_code == 0


@pytest.mark.parametrize(
    "definition",
    [
        "def handler(event, context): return 1",
        "async def handler(event, context): return 1",
        "handler = lambda event, context: 1",
        "from other import handler",
        "from other import work as handler",
        "from other import *",
        "if True:\n    def handler(event, context): return 1",
        "try:\n    from nowhere import handler\nexcept ImportError:\n    from other import handler",
        "class Handler:\n    def __call__(self, event, context): return 1\nhandler = Handler()",
    ],
)
async def test_any_definition_at_top_level_is_a_handler(bench: Bench, definition: str) -> None:
    other = "def handler(event, context): return 1\nwork = handler\n"
    loaded = await bench.load({"main.py": definition + "\n", "other.py": other})

    assert loaded.kind is Kind.HANDLER
    assert (await loaded.call()).value == 1


@pytest.mark.parametrize(
    ("code", "handler", "said"),
    [
        ("def handler(e, c): pass", "main.hanlder", "module 'main' has no 'hanlder'"),
        ("def handler(e, c): pass", "mian.handler", "no module 'mian'; the code has: main.py"),
        ("def handler(e, c): pass", "handler", "not of the form module.function"),
        ("handler = 4", "main.handler", "not a function but int"),
        ("def handler(e, c)", "main.handler", "SyntaxError"),
        ("import nowhere\ndef handler(e, c): pass", "main.handler", "ModuleNotFoundError: No module named 'nowhere'"),
        ("1/0\ndef handler(e, c): pass", "main.handler", "ZeroDivisionError"),
        ("import sys\nsys.exit(3)\ndef handler(e, c): pass", "main.handler", "exited"),
        ("import os\nos._exit(3)\ndef handler(e, c): pass", "main.handler", "exited with status 3"),
        ("if:\n", "main.handler", "SyntaxError"),
    ],
)
async def test_what_cannot_be_loaded_is_an_init_error(bench: Bench, code: str, handler: str, said: str) -> None:
    loaded = await bench.load(code, handler=handler)

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "InitError"
    assert said in loaded.kind.message
    assert "nanogrid_runtime" not in loaded.kind.stack


async def test_an_import_that_fails_shows_its_line(bench: Bench) -> None:
    loaded = await bench.load("import json\n1/0\ndef handler(e, c): pass\n")

    assert isinstance(loaded.kind, CallError)
    assert 'File "/code/main.py", line 2' in loaded.kind.stack


@pytest.mark.parametrize("handler", ["app.views.work", "app/views.work"])
async def test_a_handler_may_be_in_a_package(bench: Bench, handler: str) -> None:
    files = {
        "app/__init__.py": "",
        "app/views.py": "from app.rest import one\ndef work(event, context): return one()\n",
    }
    loaded = await bench.load(files | {"app/rest.py": "def one(): return 1\n"}, handler=handler)

    assert (await loaded.call()).value == 1


async def test_the_functions_modules_win_over_the_runtimes_own(bench: Bench) -> None:
    names = ["wire", "calling", "resident", "traceback", "json"]
    files = {f"{name}.py": "def dumps(value): return 'mine'\n" for name in names}
    code = "import wire, json\ndef handler(event, context): return json.dumps(1)\n"
    loaded = await bench.load(files | {"app.py": code}, handler="app.handler")

    called = await loaded.call()

    assert called.result.error is not None or called.value in {"mine", "1"}
    assert called.result.reusable


async def test_the_code_is_on_the_path_and_under_the_feet(bench: Bench) -> None:
    code = "def handler(event, context): return open('data/words.txt').read()\n"
    loaded = await bench.load({"main.py": code, "data/words.txt": "한글"})

    assert (await loaded.call()).value == "한글"


async def test_loading_forever_is_an_init_error(sandbox_url: str, tmp_path: Path) -> None:
    async with open_bench(sandbox_url, tmp_path, init_timeout_s=0.3) as bench:
        loaded = await bench.load("while True: pass\ndef handler(event, context): pass\n")

    assert loaded.kind == CallError("InitError", "while loading: timed out after 0.3 s")
