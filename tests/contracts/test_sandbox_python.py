"""What only Python functions can do."""

import pytest

from services.executor.sandbox import Kind
from support.sandboxes import Bench


async def test_coroutine_handlers_share_one_loop(python_bench: Bench) -> None:
    code = """
import asyncio
async def handler(event, context):
    await asyncio.sleep(0)
    return id(asyncio.get_running_loop())
"""
    loaded = await python_bench.load(code)

    first, second = await loaded.call(), await loaded.call()

    assert first.value == second.value


@pytest.mark.parametrize("value", ["object()", "{1, 2}", "b'bytes'", "{(1,): 2}"])
async def test_python_values_that_json_has_not_are_an_invalid_result(python_bench: Bench, value: str) -> None:
    loaded = await python_bench.load(f"def handler(event, context):\n    return {value}\n")

    assert (await loaded.call()).error.type == "ResultInvalid"


async def test_a_programs_traceback_is_its_own(python_bench: Bench) -> None:
    loaded = await python_bench.load("def f():\n    raise ValueError('no')\nf()\n")

    called = await loaded.call()

    assert called.printed.err.startswith('Traceback (most recent call last):\n  File "/code/main.py", line 3')
    assert "nanogrid_runtime" not in called.printed.err


async def test_a_program_ends_as_python_ends_it(python_bench: Bench) -> None:
    threads = "threading.Timer(0.05, print, ['thread']).start()\n"
    loaded = await python_bench.load("import atexit, threading\natexit.register(print, 'at exit')\n" + threads)

    called = await loaded.call()

    assert called.printed.out == "thread\nat exit\n"


async def test_exiting_with_a_text_says_it_and_is_status_1(python_bench: Bench) -> None:
    loaded = await python_bench.load("import sys\nsys.exit('no')\n")

    called = await loaded.call()

    assert called.result.exit_code == 1
    assert called.printed.err == "no\n"


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
async def test_any_definition_at_top_level_is_a_handler(python_bench: Bench, definition: str) -> None:
    other = "def handler(event, context): return 1\nwork = handler\n"
    loaded = await python_bench.load({"main.py": definition + "\n", "other.py": other})

    assert loaded.kind is Kind.HANDLER
    assert (await loaded.call()).value == 1


async def test_a_function_may_shadow_the_standard_library(python_bench: Bench) -> None:
    names = ["wire", "calling", "resident", "traceback", "json"]
    files = {f"{name}.py": "def dumps(value): return 'mine'\n" for name in names}
    code = "import wire, json\ndef handler(event, context): return json.dumps(1)\n"
    loaded = await python_bench.load(files | {"app.py": code}, handler="app.handler")

    called = await loaded.call()

    assert called.result.error is not None or called.value in {"mine", "1"}
    assert called.result.reusable
