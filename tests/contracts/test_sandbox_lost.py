"""A sandbox that is killed from outside is lost, by no fault of its function: whoever kills it, and whenever."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.executor.sandbox import (
    CallError,
    CallRequest,
    SandboxOutageError,
    SandboxStartError,
    Specialisation,
    open_provider,
)
from support.programs import CPP, Builder, Kept, require
from support.sandboxes import PYTHON, Bench, Called, Loaded, Printed
from support.unix_proxy import unix_proxy
from support.waiting import until, watched

SLEEPS = {
    "python": 'import time\ndef handler(event, context):\n    print("begun", flush=True)\n    time.sleep(600)\n',
    "node": 'exports.handler = () => { console.log("begun"); return new Promise(ok => setTimeout(ok, 600000)); };\n',
}
LOADS_FOR_EVER = {
    "python": 'import time\nprint("begun", flush=True)\ntime.sleep(600)\ndef handler(event, context): pass\n',
    "node": 'process.stdout.write("begun\\n"); for (;;);\nexports.handler = async () => {};\n',
}

Kill = Callable[[Bench, Loaded], Awaitable[None]]


def daemon(action: str, **options: Any) -> Kill:
    async def kill(bench: Bench, loaded: Loaded) -> None:
        asked = bench.provider._daemon  # type: ignore[attr-defined]
        await asked.ask(lambda: getattr(asked.api, action)(f"nanogrid-{loaded.sandbox.sandbox_id}", **options))

    return kill


async def kill_init(_: Bench, loaded: Loaded) -> None:
    loaded.sandbox._cage.init.kill()  # type: ignore[attr-defined]


async def begun(running: "asyncio.Task[Any]", printed: Printed) -> None:
    await until(lambda: running.done() or "begun" in printed.out)
    assert not running.done(), running.result()


async def killed_while_it_runs(bench: Bench, loaded: Loaded, kill: Kill) -> Called:
    printed = Printed()
    calling = asyncio.create_task(loaded.sandbox.call(CallRequest("job-1", b"null", None, printed)))
    await begun(calling, printed)
    await kill(bench, loaded)
    return Called(await watched(calling), printed)


async def test_a_sandbox_whose_first_process_is_killed_is_lost(bench: Bench) -> None:
    loaded = await bench.load(SLEEPS[bench.runtime.language])

    called = await killed_while_it_runs(bench, loaded, kill_init)

    assert called.error == CallError("Lost", "the sandbox was killed from outside while the function ran")
    assert not called.result.reusable
    assert called.printed.out == "begun\n"


@pytest.mark.parametrize(
    "kill",
    [
        daemon("kill"),
        daemon("kill", signal="SIGTERM"),
        daemon("stop", timeout=10),
        daemon("remove_container", force=True),
    ],
    ids=["kill", "term", "stop", "rm"],
)
async def test_a_container_ended_by_its_daemon_is_lost(docker_bench: Bench, kill: Kill) -> None:
    loaded = await docker_bench.load(SLEEPS["python"])

    called = await killed_while_it_runs(docker_bench, loaded, kill)

    assert called.error.type == "Lost"


@pytest.mark.parametrize("kill", [daemon("kill"), daemon("stop", timeout=10)], ids=["kill", "stop"])
async def test_a_program_whose_container_is_killed_is_lost(docker_bench: Bench, tmp_path: Path, kill: Kill) -> None:
    require(CPP)
    source = '#include <cstdio>\n#include <unistd.h>\nint main() { puts("begun"); fflush(stdout); for (;;) pause(); }\n'
    loaded = await Builder(docker_bench, tmp_path, Kept()).load(CPP, {"main.cpp": source})

    called = await killed_while_it_runs(docker_bench, loaded, kill)

    assert called.error.type == "Lost"


async def test_a_sandbox_killed_while_it_loads_is_lost(bench: Bench) -> None:
    sandbox, printed = await bench.provider.create(bench.runtime), Printed()
    folder = bench.write({bench.sources.MAIN: LOADS_FOR_EVER[bench.runtime.language]})
    what = Specialisation("function-1", folder, "main.handler", 256)
    loading = asyncio.create_task(sandbox.specialise(what, printed))
    await begun(loading, printed)

    sandbox._cage.init.kill()  # type: ignore[attr-defined]
    error = await watched(loading)

    assert isinstance(error, CallError)
    assert error.type == "Lost"


@pytest.mark.parametrize("frozen", [False, True])
async def test_a_sandbox_killed_while_it_rests_is_lost(bench: Bench, *, frozen: bool) -> None:
    loaded = await bench.load(bench.sources.ECHO)
    if frozen:
        await loaded.sandbox.freeze()

    await kill_init(bench, loaded)
    with contextlib.suppress(SandboxStartError):
        await loaded.sandbox.thaw()
    await until(lambda: not loaded.sandbox.alive)
    called = await loaded.call(None)

    assert called.error.type == "Lost"
    assert not called.result.reusable


EXITS = {
    "python": "import os\ndef handler(event, context): os._exit(event)\n",
    "node": "exports.handler = async (event) => process.exit(event);\n",
}
DIES = {
    "python": "import os, signal\ndef handler(event, context):\n    os.kill(os.getpid(), event)\n    signal.pause()\n",
    "node": "exports.handler = (event) => { process.kill(process.pid, event); return new Promise(() => {}); };\n",
}
PROGRAM_EXITS = {
    "python": "import json, os, sys\nos._exit(json.load(sys.stdin))\n",
    "node": "process.exit(JSON.parse(require('fs').readFileSync(0)));\n",
}


@pytest.mark.parametrize("mode", ["reuse", "fresh", "program"])
async def test_an_exit_status_is_told_as_one_whatever_it_is(bench: Bench, mode: str) -> None:
    source = (PROGRAM_EXITS if mode == "program" else EXITS)[bench.runtime.language]

    for code in (1, 137, 143, 255):
        called = await (await bench.load(source, fresh=mode == "fresh")).call(code)

        assert called.error == CallError("ExitError", f"the function's process exited with status {code}")
        assert called.result.exit_code == code


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_death_by_signal_is_told_by_its_name(bench: Bench, *, fresh: bool) -> None:
    source = DIES[bench.runtime.language]

    for number, name in ((9, "SIGKILL"), (15, "SIGTERM"), (11, "SIGSEGV")):
        called = await (await bench.load(source, fresh=fresh)).call(number)

        sentence = f"the function's process was killed by {name} (status {128 + number})"
        assert called.error == CallError("ExitError", sentence)
        assert called.result.exit_code == 128 + number


async def test_a_function_that_kills_all_it_can_reach_is_not_lost(bench: Bench) -> None:
    kills = {
        "python": "import os, contextlib\ndef handler(event, context):\n    for pid, number in event:\n"
        "        with contextlib.suppress(OSError):\n            os.kill(pid, number)\n    os.kill(os.getpid(), 9)\n",
        "node": "exports.handler = async (event) => { for (const [pid, number] of [...event, [process.pid, 9]])\n"
        "  try { process.kill(pid, number) } catch {} };\n",
    }
    loaded = await bench.load(kills[bench.runtime.language])
    if not loaded.sandbox._cage.inside.own_pids:  # type: ignore[attr-defined]
        pytest.skip("it would kill this test")

    called = await loaded.call([[1, 9], [1, 15], [1, 2], [-1, 9]])

    assert called.error.type == "ExitError"
    assert "killed by SIG" in called.error.message


async def test_a_function_that_hangs_up_on_its_runtime_is_not_lost(python_bench: Bench) -> None:
    loaded = await python_bench.load(
        "import os, time\ndef handler(event, context):\n    os.closerange(3, 256)\n    time.sleep(60)\n"
    )

    called = await loaded.call(None)

    assert called.error == CallError("ExitError", "the function closed the runtime's connection")


async def test_without_a_daemon_there_is_an_outage_and_no_fault(
    docker_bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    settings = replace(docker_bench.settings, root=tmp_path / "other")
    with unix_proxy(path, tmp_path / "docker.sock") as proxy:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        async with open_provider("docker:", settings) as provider:
            proxy.leave()

            with pytest.raises(SandboxOutageError, match="cannot be reached"):
                await provider.create(PYTHON)

            proxy.away = False
            await (await provider.create(PYTHON)).destroy()
