"""The process a Python function runs in: its threads and children, and the output of C code in it."""

import itertools

import pytest

from services.executor.sandbox import CallError, Kind
from support.sandboxes import Bench

C_PRINTS = """
import ctypes
libc = ctypes.CDLL(None)
libc.printf(b"loading in C\\n")
def handler(event, context):
    libc.printf(b"out %d\\n", event)
    libc.fputs(b"without an end ", ctypes.c_void_p.in_dll(libc, "stdout"))
    print("python", event)
"""


@pytest.mark.parametrize("fresh", [False, True])
async def test_what_c_code_prints_belongs_to_its_call(python_bench: Bench, *, fresh: bool) -> None:
    loaded = await python_bench.load(C_PRINTS, fresh=fresh)

    printed = [(await loaded.call(number)).printed.out for number in (1, 2)]

    assert loaded.printed.out == "loading in C\n"
    for number, out in enumerate(printed, start=1):
        assert f"out {number}\n" in out
        assert out.count("without an end ") == out.count(f"python {number}\n") == 1


async def test_what_c_code_prints_in_a_program_is_heard_once(script_bench: Bench) -> None:
    loaded = await script_bench.load("import ctypes\nctypes.CDLL(None).printf(b'[1]\\n')\n")

    assert [(await loaded.call()).printed.out for _ in range(2)] == ["[1]\n", "[1]\n"]


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 11)", "time.sleep(60)"])
async def test_lines_of_c_code_are_heard_though_the_process_dies(script_bench: Bench, end: str) -> None:
    code = f"import ctypes, os, time\ndef handler(event, context):\n    ctypes.CDLL(None).puts(b'so far')\n    {end}\n"

    called = await (await script_bench.load(code)).call(timeout_s=1)

    assert called.result.error is not None
    assert called.printed.out == "so far\n"


@pytest.mark.parametrize("fresh", [False, True])
async def test_what_c_code_wrote_before_a_failure_is_heard(script_bench: Bench, *, fresh: bool) -> None:
    code = "import ctypes\ndef handler(event, context):\n    ctypes.CDLL(None).printf(b'so far')\n    {}\n"
    for end in ("1/0", "raise SystemExit(3)"):
        called = await (await script_bench.load(code.format(end), fresh=fresh)).call()

        assert called.result.error is not None
        assert called.printed.out == "so far"


async def test_a_thread_that_reads_a_c_file_for_ever_holds_nothing_up(script_bench: Bench) -> None:
    code = """
import ctypes, os, threading
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stream = libc.fdopen(os.pipe()[0], b"r")
threading.Thread(target=libc.fgetc, args=[ctypes.c_void_p(stream)], daemon=True).start()
def handler(event, context):
    libc.printf(b"heard\\n")
    return 1
"""
    called = await (await script_bench.load(code)).call()

    assert called.value == 1
    assert called.printed.out == "heard\n"


# Things that a module starts when it is imported, and a handler that needs them to be alive.
STARTED = {
    "a thread": """
import queue, threading
asked, answered = queue.Queue(), queue.Queue()
def serve():
    while True:
        answered.put(asked.get() + 1)
threading.Thread(target=serve, daemon=True).start()
def handler(event, context):
    asked.put(event)
    return answered.get()
""",
    "a pool of threads": """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
pool.submit(int).result()
def handler(event, context):
    return pool.submit(lambda: event + 1).result()
""",
    "an event loop": """
import asyncio, threading
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever).start()
async def work(event):
    await asyncio.sleep(0)
    return event + 1
def handler(event, context):
    return asyncio.run_coroutine_threadsafe(work(event), loop).result()
""",
    "a pool of processes": """
import multiprocessing
def work(event):
    return event + 1
pool = multiprocessing.Pool(1)
def handler(event, context):
    return pool.apply_async(work, [event]).get()
""",
    "a manager": """
import multiprocessing
manager = multiprocessing.Manager()
shared = manager.dict()
def handler(event, context):
    shared["x"] = event + 1
    return shared["x"]
""",
    "a child": """
import subprocess
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def handler(event, context):
    return int(child.communicate(b"%d" % event)[0]) + 1
""",
    "a thread of C": """
import ctypes
libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
import os
def handler(event, context):
    return event + len(os.listdir("/proc/self/task")) - 1
""",
    "a log listener": """
import logging, logging.handlers, queue
lines = queue.Queue()
listener = logging.handlers.QueueListener(lines, logging.StreamHandler())
listener.start()
logging.getLogger().addHandler(logging.handlers.QueueHandler(lines))
def handler(event, context):
    logging.warning("line %d", event)
    listener.stop()
    return event + 1
""",
}


@pytest.mark.parametrize("started", STARTED)
async def test_what_a_module_starts_is_alive_in_every_fresh_call(script_bench: Bench, started: str) -> None:
    loaded = await script_bench.load("print('loading')\n" + STARTED[started], fresh=True)

    calls = [await loaded.call(1) for _ in range(3)]

    assert [called.value for called in calls] == [2, 2, 2]
    assert all(called.result.reusable for called in calls)
    assert loaded.printed.out == "loading\n"
    assert {called.printed.out for called in calls} == {""}
    assert started != "a log listener" or {called.printed.err for called in calls} == {"line 1\n"}


async def test_a_fresh_call_of_a_module_with_threads_may_end_its_process(script_bench: Bench) -> None:
    loaded = await script_bench.load(
        "import os, signal, sys, threading\nthreading.Thread(target=signal.pause).start()\n"
        "def handler(event, context):\n    sys.exit(event) if event < 9 else os.kill(os.getpid(), event)\n",
        fresh=True,
    )

    for event, status in ((3, 3), (9, 137)):
        called = await loaded.call(event)

        assert called.error.type == "ExitError"
        assert (called.result.exit_code, called.result.reusable) == (status, True)


async def test_a_module_that_fails_when_a_fresh_call_loads_it_again_is_an_init_error(script_bench: Bench) -> None:
    code = """
import os, threading
loads = sum(name.startswith("loaded") for name in os.listdir("/tmp"))
open(f"/tmp/loaded-{loads}", "w").close()
if loads == 2:
    raise ValueError("no more")
threading.Thread(target=threading.Event().wait, daemon=True).start()
def handler(event, context): return loads
"""
    loaded = await script_bench.load(code, fresh=True)

    first, second = await loaded.call(), await loaded.call()

    assert first.value == 1
    assert second.error.type == "InitError"
    assert "ValueError: no more" in second.error.message
    assert second.error.stack.startswith('Traceback (most recent call last):\n  File "/code/main.py"')


async def test_a_module_that_cannot_be_loaded_twice_is_an_init_error(script_bench: Bench) -> None:
    code = """
import os, threading
os.mkdir("/tmp/once")
threading.Thread(target=threading.Event().wait, daemon=True).start()
def handler(event, context): pass
"""
    loaded = await script_bench.load(code, fresh=True)

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "InitError"
    assert "FileExistsError" in loaded.kind.message


async def test_a_module_whose_threads_stop_for_a_fork_is_loaded_once(script_bench: Bench) -> None:
    """Libraries do so that are made to be forked: OpenBLAS, gRPC."""
    code = """
import os, threading
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
os.register_at_fork(before=lambda: (stop.set(), thread.join()))
loads = len([name for name in os.listdir("/tmp") if name.startswith("loaded")])
open(f"/tmp/loaded-{loads}", "w").close()
def handler(event, context): return loads
"""
    loaded = await script_bench.load(code, fresh=True)

    assert [(await loaded.call()).value for _ in range(2)] == [0, 0]


MULTIPROCESSING = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b
def work(pair):
    return Pair(pair.b, os.environ["COLOUR"])
def answer(connection, pair):
    connection.send(work(pair))
def handler(event, context):
    ways = multiprocessing.get_context(event)
    with ways.Pool(1) as pool:
        one = pool.map(work, [Pair(1, 2)])[0]
    with ProcessPoolExecutor(1, mp_context=ways) as pool:
        two = pool.submit(work, Pair(3, 4)).result()
    here, there = ways.Pipe()
    child = ways.Process(target=answer, args=[there, Pair(5, 6)])
    child.start()
    three = here.recv()
    child.join()
    return [one.a, two.a, three.a, three.b, child.exitcode]
"""


@pytest.mark.parametrize(
    ("name", "way"),
    [("main", "fork"), *itertools.product(["main", "src/app", "app.v2", "token"], ["spawn", "forkserver"])],
)
async def test_multiprocessing_works_however_it_starts_its_processes(python_bench: Bench, name: str, way: str) -> None:
    loaded = await python_bench.load(
        {f"{name}.py": MULTIPROCESSING}, handler=f"{name}.handler", env={"COLOUR": "blue"}, fresh=name == "src/app"
    )

    assert (await loaded.call(way)).value == [2, 4, 6, "blue", 0]


@pytest.mark.parametrize(
    ("name", "way"), [("main", "fork"), *itertools.product(["main", "src/app", "token"], ["spawn", "forkserver"])]
)
async def test_multiprocessing_works_in_a_program(script_bench: Bench, name: str, way: str) -> None:
    code = MULTIPROCESSING.replace("def handler(", "def main(") + (
        f"if __name__ == '__main__':\n    import json\n    print(json.dumps(main({way!r}, None)))\n"
    )
    files = {f"{name}.py": code, "src/shared.py": ""}
    if "/" in name:
        files[f"{name}.py"] = "from . import shared\n" + code
    loaded = await script_bench.load(files, handler=f"{name}.handler", env={"COLOUR": "blue"})

    called = await loaded.call()

    assert loaded.kind is Kind.PROGRAM
    assert called.printed.out == '[2, 4, 6, "blue", 0]\n', called.printed.err


async def test_the_module_main_is_not_the_runtimes(script_bench: Bench) -> None:
    code = "import __main__\ndef handler(event, context): return [hasattr(__main__, '__file__'), __name__]\n"

    assert (await (await script_bench.load(code)).call()).value == [False, "main"]
