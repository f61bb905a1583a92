"""Variables that have to be there when a Python process starts are there, though its sandbox was started before."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench

# Variables that bear each other: name → value, an expression that looks for its effect, the effect.
Looks = dict[str, tuple[str, str, object]]
SOME: Looks = {
    "LD_LIBRARY_PATH": ("/code/lib", "ctypes.CDLL('libown.so').own()", 7),
    "PYTHONHASHSEED": ("7", "hash('a') == int(run('print(hash(\"a\"))'))", True),
    "PYTHONUNBUFFERED": ("1", "sys.stdout.write_through", True),
    "PYTHONOPTIMIZE": ("2", "sys.flags.optimize", 2),
    "PYTHONDONTWRITEBYTECODE": ("", "sys.dont_write_bytecode", False),
    "PYTHONPATH": ("/code/lib", "[own.value, own.ran]", ["own", True]),
    "MALLOC_ARENA_MAX": ("1", "'MALLOC_ARENA_MAX=1' in at_start", True),
    "GLIBC_TUNABLES": ("glibc.malloc.mxfast=0", "'GLIBC_TUNABLES=glibc.malloc.mxfast=0' in at_start", True),
    "GODEBUG": ("netdns=go", "'GODEBUG=netdns=go' in at_start", True),
    "LANG": ("ko_KR.UTF-8", "pathlib.Path('/code/한글').read_text()", "글"),
    "TZ": ("KST-9", "time.tzname[0]", "KST"),
    "OPENBLAS_NUM_THREADS": ("3", "getenv(b'OPENBLAS_NUM_THREADS').decode()", "3"),
}
OTHERS: Looks = {
    "LD_PRELOAD": ("/code/lib/libown.so", "ctypes.CDLL(None).own()", 7),
    "PYTHONWARNINGS": ("error", "sys.warnoptions[-1]", "error"),
    "PYTHONDEVMODE": ("1", "sys.flags.dev_mode", True),
    "PYTHONTRACEMALLOC": ("3", "tracemalloc.get_traceback_limit()", 3),
    "PYTHONSAFEPATH": ("1", "[entry for entry in sys.path if 'nanogrid' in entry]", []),
    "PYTHONIOENCODING": ("utf-8:replace", "[sys.stdout.encoding, sys.stdout.errors]", ["utf-8", "replace"]),
    "PYTHONMALLOC": ("malloc", "'PYTHONMALLOC=malloc' in at_start", True),
    "LC_ALL": ("POSIX", "pathlib.Path('/code/한글').read_text()", "글"),
}
LOOKING = """
import ctypes, json, os, pathlib, subprocess, sys, time, tracemalloc
if os.environ.get("PYTHONPATH"):
    import own
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
def run(code): return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
at_start = pathlib.Path("/proc/self/environ").read_text().split("\\0")
saw = {name: eval(look) for name, look in LOOKS.items()}
def work(names):
    in_child = json.loads(run("import json, os; print(json.dumps(dict(os.environ)))"))
    return {"saw": saw, "has": {n: os.environ[n] for n in names}, "child": {n: in_child[n] for n in names}}
"""
ENDS = {"program": "print(json.dumps(work(json.load(sys.stdin))))\n"}
HANDLER = "def handler(event, context): return work(event)\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A shared library of one function, which needs no other."""
    compiler = shutil.which("gcc")
    if compiler is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("gcc is not installed")
    folder = tmp_path_factory.mktemp("library")
    (folder / "own.c").write_text("int own(void) { return 7; }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-nostdlib", "-o", "own.so", "own.c"], cwd=folder, check=True)
    return Path(folder, "own.so").read_bytes()


@pytest.mark.parametrize("mode", ["reuse", "fresh", "program"])
@pytest.mark.parametrize("looks", [SOME, OTHERS], ids=["some", "others"])
async def test_variables_are_there_from_the_start_of_the_process(
    python_bench: Bench, library: bytes, looks: Looks, mode: str
) -> None:
    expressions = {name: look for name, (_, look, _) in looks.items()}
    files: dict[str, str | bytes] = {
        "main.py": f"LOOKS = {expressions}\n{LOOKING}{ENDS.get(mode, HANDLER)}",
        "한글": "글",
        "lib/libown.so": library,
        "lib/own.py": "value, ran = 'own', False\n",
        "lib/sitecustomize.py": "import own\nown.ran = True\n",
        "lib/socket.py": "1/0\n",  # would break the runtime itself, if it came before the standard library
    }
    env = {name: value for name, (value, _, _) in looks.items()}
    loaded = await python_bench.load(files, env=env, fresh=mode == "fresh")

    for _ in range(2):
        called = await loaded.call(list(env))
        found: dict[str, Any] = json.loads(called.printed.out) if mode == "program" else called.value

        assert found["saw"] == {name: seen for name, (_, _, seen) in looks.items()}
        assert found["has"] == found["child"] == env
        assert called.printed.err == ""


async def test_a_process_is_not_started_anew_without_need(python_bench: Bench) -> None:
    code = "import sys\ndef handler(event, context): return len(open('/proc/self/cmdline').read().split('\\0'))\n"
    plain, same, anew = [
        await (await python_bench.load(code, env=env)).call()
        for env in ({"COLOUR": "blue", "PYTHONPATH": "/code"}, {"LANG": "C.UTF-8"}, {"LANG": "C"})
    ]

    assert plain.value == same.value < anew.value


async def test_what_keeps_a_process_from_starting_is_an_init_error(python_bench: Bench) -> None:
    loaded = await python_bench.load("def handler(e, c): pass\n", env={"PYTHONHOME": "/nowhere"})

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "InitError"
    assert "exited with status 1" in loaded.kind.message
    assert "Fatal Python error" in loaded.printed.err


async def test_a_module_with_threads_is_loaded_anew_with_all_its_variables(python_bench: Bench) -> None:
    code = """
import os, threading
os.environ["CHANGED"] = "yes" + os.environ.get("CHANGED", "")
threading.Thread(target=threading.Event().wait, daemon=True).start()
def handler(event, context): return [os.environ[name] for name in ("CHANGED", "PYTHONHASHSEED", "COLOUR")]
"""
    env = {"PYTHONHASHSEED": "7", "COLOUR": "blue"}

    assert (await (await python_bench.load(code, env=env, fresh=True)).call()).value == ["yes", "7", "blue"]


async def test_a_program_in_a_folder_is_kept_apart_from_the_rest(python_bench: Bench) -> None:
    loaded = await python_bench.load("print(__name__, __file__)\n", env={"PYTHONHASHSEED": "0"})

    assert loaded.kind is Kind.PROGRAM
    assert (await loaded.call()).printed.out == "__main__ /code/main.py\n"
