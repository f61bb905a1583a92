"""What only Python functions can do."""

import json
import sys

import pytest

from services.executor.sandbox import CallError, CallRequest, Kind, OutputStream
from support.sandboxes import Bench, Called, Printed


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


# Half a character, which no JSON can carry: in a message, a class, a cause, a note, the source line, a group.
HALVES = {
    "a message": "raise ValueError('half \\ud800 of it')",
    "a class with a name of its own": "raise Named('half \\ud800')",
    "a cause": "raise ValueError('half') from OSError('\\udcff')",
    "a file name": "open('/nowhere/\\udcff-half')",
    "a key": "{}['half\\udfff']",
    "two that belong together": "raise ValueError('half \\ud83d\\ude00')",
}


@pytest.mark.parametrize("fresh", [False, True])
async def test_an_error_whose_text_is_not_unicode_stays_the_functions_own(python_bench: Bench, *, fresh: bool) -> None:
    named = "class Meta(type):\n    @property\n    def __name__(self): raise RuntimeError\n"
    named += "class Named(Exception, metaclass=Meta): pass\n"
    tries = "\n".join(f"    if event == {name!r}:\n        {code}" for name, code in HALVES.items())
    loaded = await python_bench.load(f"{named}def handler(event, context):\n{tries}\n", fresh=fresh)

    for name in HALVES:
        called = await loaded.call(name)

        assert called.error.type == "HandlerError"
        assert "half" in called.error.message
        assert "main.py" in called.error.stack
        assert called.result.reusable
    assert (await loaded.call("a message")).error.message == r"ValueError: half \ud800 of it"


async def test_a_module_that_fails_with_such_a_text_is_an_init_error(python_bench: Bench) -> None:
    loaded = await python_bench.load("raise ValueError('half \\ud800')\ndef handler(e, c): pass\n")

    assert isinstance(loaded.kind, CallError)
    assert (loaded.kind.type, loaded.kind.message) == ("InitError", r"ValueError: half \ud800")


async def test_such_a_text_is_printed_as_it_can_be(python_bench: Bench) -> None:
    loaded = await python_bench.load("def handler(event, context): print('half \\ud800')\n")

    assert (await loaded.call()).printed.out == "half \\ud800\n"


NUMBERS = [2**63, 2**64, -(2**64) - 1, 12345678901234567890123456789, 10**5000, 0.1, 1e-300, 2.5e-5, -0.0]


@pytest.mark.parametrize("fresh", [False, True])
async def test_numbers_of_any_length_go_in_and_come_out_unchanged(python_bench: Bench, *, fresh: bool) -> None:
    sys.set_int_max_str_digits(10_000)
    loaded = await python_bench.load(
        "def handler(event, context): return [event, {'is': [repr(n) for n in event[:4]]}]\n", fresh=fresh
    )

    value = (await loaded.call(NUMBERS)).value

    assert value == [NUMBERS, {"is": [repr(number) for number in NUMBERS[:4]]}]
    assert [type(number) for number in value[0]] == [type(number) for number in NUMBERS]


async def test_a_program_has_the_event_as_it_was_sent(python_bench: Bench) -> None:
    code = "import os, sys\ngiven = sys.stdin.read()\nassert given == os.environ['PAYLOAD']\nprint(given)\n"
    loaded = await python_bench.load(code)
    event = b'{"n":123456789012345678901234567890,"f":0.10000000000000000555}'

    printed = Printed()
    await loaded.sandbox.call(CallRequest("job-1", event, 20, printed))

    assert printed.of(OutputStream.STDOUT) == event + b"\n"


ENDINGS = [
    ("sys.exit(-1)", 255, "exited with status 255"),
    ("sys.exit(200)", 200, "exited with status 200"),
    ("sys.exit(137)", 137, "exited with status 137"),
    ("sys.exit(256 + 7)", 7, "exited with status 7"),
    ("sys.exit(2**70)", 255, "exited with status 255"),
    ("sys.exit('so')", 1, "exited with status 1"),
    ("os._exit(143)", 143, "exited with status 143"),
    ("os.abort()", 134, "killed by SIGABRT"),
    ("os.kill(os.getpid(), signal.SIGSEGV)", 139, "killed by SIGSEGV"),
    ("os.kill(os.getpid(), signal.SIGRTMIN + 1)", 163, "killed by signal 35"),
]
"""Code that ends its process, the exit code, the sentence."""


def expect_ending(called: Called, code: int, said: str) -> None:
    assert called.error.type == "ExitError"
    assert said in called.error.message
    assert called.result.exit_code == code


@pytest.mark.parametrize(("end", "code", "said"), ENDINGS)
async def test_exit_status_and_signal_of_the_runtimes_own_process_are_told_apart(
    python_bench: Bench, end: str, code: int, said: str
) -> None:
    loaded = await python_bench.load(f"import os, signal, sys\ndef handler(event, context): {end}\n")

    expect_ending(await loaded.call(), code, said)


@pytest.mark.parametrize(
    "code",
    [
        "def handler(event, context): exec(event)\n",
        "import json\nexec(json.load(sys.stdin), {'os': os, 'signal': signal, 'sys': sys})\n",
    ],
    ids=["fresh", "program"],
)
async def test_exit_status_and_signal_of_a_child_are_told_apart(python_bench: Bench, code: str) -> None:
    loaded = await python_bench.load("import os, signal, sys\n" + code, fresh=True)

    for end, status, said in ENDINGS:
        expect_ending(await loaded.call(end), status, said)


async def test_a_handler_that_exits_does_not_wait_for_its_threads(python_bench: Bench) -> None:
    code = """
import atexit, sys, threading
threading.Thread(target=threading.Event().wait).start()
atexit.register(print, "at exit")
def handler(event, context): sys.exit("so")
"""
    called = await (await python_bench.load(code)).call(timeout_s=10)

    assert called.error.type == "ExitError"
    assert (called.printed.out, called.printed.err) == ("at exit\n", "so\n")


async def test_a_program_in_a_folder_imports_its_neighbours(python_bench: Bench) -> None:
    files = {
        "jobs/nightly/report.py": "import json, sys\nimport tools\nfrom jobs.shared import one\nfrom . import more\n"
        "from ..shared import two\nprint(json.dumps([tools.three, one, two, more.four, sys.path[0], __package__]))\n",
        "jobs/nightly/tools.py": "three = 3\n",
        "jobs/nightly/more.py": "four = 4\n",
        "jobs/shared.py": "one, two = 1, 2\n",
    }
    loaded = await python_bench.load(files, handler="jobs/nightly/report.handler")

    called = await loaded.call()

    assert loaded.kind is Kind.PROGRAM
    assert json.loads(called.printed.out) == [3, 1, 2, 4, "/code/jobs/nightly", "jobs.nightly"], called.printed.err


async def test_what_a_program_defines_can_be_pickled_and_inspected(python_bench: Bench) -> None:
    code = """
import __main__, dataclasses, inspect, pickle, typing
@dataclasses.dataclass
class Item:
    number: "int"
    rest: "list[Item]" = dataclasses.field(default_factory=list)
assert pickle.loads(pickle.dumps(Item(1, [Item(2)]))) == Item(1, [Item(2)])
assert __main__.Item is Item
assert typing.get_type_hints(Item)["number"] is int
print(inspect.getsource(Item).splitlines()[1])
"""
    called = await (await python_bench.load(code)).call()

    assert called.printed.out == "class Item:\n", called.printed.err


async def test_a_program_holds_nothing_of_the_runtimes(python_bench: Bench) -> None:
    code = "import os, sys\nprint(sorted(map(int, os.listdir('/proc/self/fd')))[:-1], sys.argv)\n"
    called = await (await python_bench.load(code)).call()

    assert called.printed.out == "[0, 1, 2] ['/code/main.py']\n"


@pytest.mark.parametrize("text", ["'가' * 100_000", "'\\0' * 100_000", "'😀' * 100_000", "'\\udc80' * 100_000"])
async def test_an_error_of_any_length_and_script_stays_the_functions_own(python_bench: Bench, text: str) -> None:
    loaded = await python_bench.load(f"def handler(event, context): raise ValueError({text})\n")

    called = await loaded.call()

    assert called.error.type == "HandlerError"
    assert called.error.message.startswith("ValueError: ")
    assert called.error.stack.startswith("Traceback (most recent call last):\n")
    assert called.result.reusable


async def test_what_a_function_does_to_the_module_json_is_its_own_affair(python_bench: Bench) -> None:
    code = "import json\njson.dumps = json.loads = None\ndef handler(event, context): return [1 / event]\n"
    loaded = await python_bench.load(code)

    assert (await loaded.call(1)).value == [1]
    assert (await loaded.call(0)).error.message == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("reaper", ["signal.SIG_IGN", "lambda *_: os.waitpid(-1, os.WNOHANG)"])
async def test_a_fresh_module_that_reaps_children_loses_none_of_its_calls(python_bench: Bench, reaper: str) -> None:
    code = f"import os, signal\nown = {reaper}\nsignal.signal(signal.SIGCHLD, own)\n"
    loaded = await python_bench.load(
        code + "def handler(event, context): return signal.getsignal(signal.SIGCHLD) == own\n", fresh=True
    )

    assert [(await loaded.call()).value for _ in range(3)] == [True] * 3
