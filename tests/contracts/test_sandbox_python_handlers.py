"""Which function a Python handler's name means, however its file is called and however it is defined."""

import unicodedata
from collections.abc import Mapping
from typing import Literal

import pytest

from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench, Loaded

Form = Literal["NFC", "NFD"]
IMPL = "def handler(event, context): return 1\ndef lambda_handler(event, context): return 2\n"


def refusal(loaded: Loaded) -> str:
    assert isinstance(loaded.kind, CallError), loaded.kind
    assert loaded.kind.type == "InitError"
    return loaded.kind.message


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    from impl import *\nexcept ImportError:\n    pass",
        "import impl\nglobals()['handler'] = impl.handler",
        "import impl\nglobals().update(vars(impl))",
        "import impl, sys\nsetattr(sys.modules[__name__], 'handler', impl.handler)",
        "import impl, sys\nsys.modules[__name__] = impl",
        "import impl\ndef __getattr__(name): return getattr(impl, name)",
        "exec(open('/code/impl.py').read())",
    ],
)
async def test_a_handler_that_is_defined_in_a_roundabout_way_is_called(script_bench: Bench, code: str) -> None:
    loaded = await script_bench.load({"main.py": code, "impl.py": IMPL})

    assert loaded.kind is Kind.HANDLER
    assert (await loaded.call()).value == 1


@pytest.mark.parametrize(
    ("code", "there"),
    [
        ("from impl import *", "it defines: work, Work"),
        ("def process(e, c): pass\ndef _private(): pass\nexec('x = 1' + '')", "it defines: process"),
        ("globals().update({})", "it defines: no function"),
        (
            "import json\nfrom json import dumps\ndef helper(): pass\ndef handler(): pass\ndel handler",
            "defines: helper",
        ),
    ],
)
async def test_a_wrong_guess_is_an_init_error_that_lists_what_is_there(
    script_bench: Bench, code: str, there: str
) -> None:
    loaded = await script_bench.load({"main.py": code, "impl.py": "def work(): pass\nclass Work: pass\n"})

    message = refusal(loaded)

    assert "module 'main' has no 'handler'" in message
    assert there in message


@pytest.mark.parametrize("mode", ["reuse", "fresh"])
async def test_lambda_handler_stands_in_for_a_handler_that_nobody_chose(script_bench: Bench, mode: str) -> None:
    code = "def lambda_handler(event, context): return event\nif __name__ == '__main__':\n    print('not this')\n"
    loaded = await script_bench.load(code, fresh=mode == "fresh")

    assert loaded.kind is Kind.HANDLER
    assert (await loaded.call(7)).value == 7


async def test_handler_is_preferred_to_lambda_handler(script_bench: Bench) -> None:
    assert (await (await script_bench.load(IMPL)).call()).value == 1


async def test_a_function_that_was_asked_for_has_no_stand_in(script_bench: Bench) -> None:
    loaded = await script_bench.load("def lambda_handler(e, c): pass\ndef work(e, c): pass", handler="main.process")

    assert "module 'main' has no 'process'; it defines: lambda_handler, work" in refusal(loaded)


async def test_a_handler_that_is_no_function_is_told_how_to_be_a_program(script_bench: Bench) -> None:
    loaded = await script_bench.load("import logging\nhandler = logging.NullHandler()\nprint(1)")

    assert "is not a function but NullHandler; call it something else to have main run as a program" in refusal(loaded)


NEEDS_THE_LIBRARY = """
import calendar, email.message, http.client, json, logging, queue, string, time, token, tokenize, traceback, types, uuid
import concurrent.futures, dataclasses, inspect, unittest
from helper import two
@dataclasses.dataclass
class Item:
    number: "int"
def handler(event, context):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        number = pool.submit(json.loads, json.dumps(event)).result()
    return [Item(number).number, two, string.digits, time.time() > 1, token.NAME, __file__]
"""
NAMES = ["time", "json", "token", "string", "types", "test", "code", "email", "queue", "wire", "nanogrid_runtime", "os"]


@pytest.mark.parametrize("name", [*NAMES, "__main__"])
async def test_a_file_called_like_a_standard_module_is_the_handler(script_bench: Bench, name: str) -> None:
    files = {f"{name}.py": NEEDS_THE_LIBRARY, "helper.py": "two = 2\n"}
    loaded = await script_bench.load(files, handler=f"{name}.handler", fresh=name == "json")

    value = (await loaded.call(1)).value

    assert value[:5] == [1, 2, "0123456789", True, 1]
    assert value[5].endswith(f"/{name}.py")


async def test_a_neighbour_called_like_a_standard_module_does_not_break_the_runtime(script_bench: Bench) -> None:
    names = ["asyncio", "selectors", "unicodedata", "traceback", "logging", "numpy", "site", "warnings"]
    code = "async def 처리(event, context):\n    assert event\n    return event\n"
    loaded = await script_bench.load({"앱.py": code, **{f"{n}.py": "1/0\n" for n in names}}, handler="앱.처리")

    assert (await loaded.call(1)).value == 1
    assert (await loaded.call(0)).error.message == "AssertionError"


async def test_a_program_called_like_a_standard_module_has_the_library(script_bench: Bench) -> None:
    code = (
        "import logging, json, sys\nfrom string import Template\nprint(json.dumps([Template.__name__, sys.argv[0]]))\n"
    )
    loaded = await script_bench.load({"string.py": code}, handler="string.handler")

    called = await loaded.call()

    assert loaded.kind is Kind.PROGRAM
    assert called.result.error is None, called.printed.err
    assert called.printed.out.startswith('["Template", ')


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"app.v2.py": "def handler(e, c): return 1\n"}, "app.v2.handler"),
        ({"app.v2.py": "def work(e, c): return 1\n"}, "app.v2.work"),
        ({"src/app.v2.1.py": "from src.one import one\ndef handler(e, c): return one\n"}, "src/app.v2.1.handler"),
        ({"src/app.v2.py": "from .one import one\ndef handler(e, c): return one\n"}, "src.app.v2.handler"),
        ({"v1.2/app.py": "def handler(e, c): return 1\n"}, "v1.2/app.handler"),
        ({"my-app.py": "def handler(e, c): return 1\n"}, "my-app.handler"),
        ({"2024/07.py": "def handler(e, c): return 1\n"}, "2024/07.handler"),
        ({"email/app.py": "from .one import one\ndef handler(e, c): return one\n"}, "email/app.handler"),
        ({"queue/app.py": "from queue import Queue\ndef handler(e, c): return 1\n"}, "queue.app.handler"),
        ({"json/__init__.py": "from .one import one\ndef handler(e, c): return one\n"}, "json.handler"),
    ],
)
async def test_a_file_of_an_unusual_name_is_found(script_bench: Bench, files: Mapping[str, str], handler: str) -> None:
    loaded = await script_bench.load(
        {**{f"{n}/one.py": "one = 1\n" for n in ("src", "email", "json")}, **files}, handler=handler
    )

    assert (await loaded.call()).value == 1


async def test_a_standard_module_is_no_handler(script_bench: Bench) -> None:
    loaded = await script_bench.load("def handler(e, c): pass\n", handler="json.dumps")

    assert "there is no module 'json'; the code has: main.py" in refusal(loaded)


@pytest.mark.parametrize(("stored", "typed"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
async def test_names_match_however_their_letters_are_composed(script_bench: Bench, stored: Form, typed: Form) -> None:
    code = """
import os
import 도구
from 꾸러미.é import value
def 처리(event, context):
    return [도구.value, value, open("자료/é.txt").read(), os.listdir("자료")]
"""
    files = {"앱.py": code, "도구.py": "value = 1\n", "꾸러미/é.py": "value = 2\n", "자료/é.txt": "셋"}
    as_stored = {unicodedata.normalize(stored, name): text for name, text in files.items()}
    loaded = await script_bench.load(as_stored, handler=unicodedata.normalize(typed, "앱.처리"))

    assert (await loaded.call()).value == [1, 2, "셋", ["é.txt"]]


async def test_a_module_that_is_missing_is_named_as_it_is_typed(script_bench: Bench) -> None:
    files = {unicodedata.normalize("NFD", "앱.py"): "def handler(e, c): pass\n"}

    assert "the code has: 앱.py" in refusal(await script_bench.load(files, handler="엡.handler"))


@pytest.mark.parametrize("kind", ["TypeError", "AttributeError", "ValueError"])
async def test_an_error_that_a_function_raises_of_itself_is_told_in_its_words(script_bench: Bench, kind: str) -> None:
    loaded = await script_bench.load(f"def handler(event, context): raise {kind}('no such colour')\n")

    assert (await loaded.call(["not an object"])).error.message == f"{kind}: no such colour"
