"""Supervision of the local stack, with real processes that die, hang and outlive nobody."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from nanogrid.local.processes import start_time
from services.local.plan import Child
from services.local.redis import serving
from services.local.settings import LocalGridSettings
from services.local.supervisor import FIRST_DELAY_S, keeping, stop_by_user
from support.waiting import until


@pytest.fixture
def notes(tmp_path):
    """Where the children write what happens to them, a line each."""
    return tmp_path / "notes"


@pytest.fixture
def child(tmp_path, notes):
    def make(name, program, stop_wait_s=10.0):
        script = tmp_path / f"{name}.py"
        script.write_text(
            "import os, signal, sys, time\n"
            f"def note(what): os.write(fd, f'{name} {{what}} {{os.getpid()}}\\n'.encode())\n"
            f"fd = os.open({str(notes)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
            f"{program}\n"
        )
        return Child(name, (sys.executable, str(script)), dict(os.environ), stop_wait_s)

    return make


SERVE = """
signal.signal(signal.SIGTERM, lambda *_: (note('stops'), sys.exit(0)))
note('serves')
while True: signal.pause()
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnote('serves')\nwhile True: signal.pause()"


def happened(notes):
    return [tuple(line.split()[:2]) for line in notes.read_text().splitlines()] if notes.exists() else []


def pids(notes):
    return [int(line.split()[2]) for line in notes.read_text().splitlines()]


async def test_a_child_that_dies_is_started_again_after_a_pause(tmp_path, notes, child):
    began = time.monotonic()

    async with keeping([[child("crasher", "note('serves'); sys.exit(3)")]], tmp_path / "logs"):
        await until(lambda: len(happened(notes)) >= 2)

    assert time.monotonic() - began >= FIRST_DELAY_S
    assert len(set(pids(notes))) == len(pids(notes))


async def test_a_child_that_was_killed_is_started_again_and_the_others_go_on(tmp_path, notes, child):
    async with keeping([[child("a", SERVE), child("b", SERVE)]], tmp_path / "logs"):
        await until(lambda: len(happened(notes)) == 2)
        victim = next(pid for pid, what in zip(pids(notes), happened(notes), strict=True) if what[0] == "a")
        os.kill(victim, signal.SIGKILL)
        await until(lambda: happened(notes).count(("a", "serves")) == 2)

        assert ("b", "stops") not in happened(notes)


async def test_a_child_that_fails_twice_at_its_start_cannot_start_and_one_that_was_killed_twice_can(
    tmp_path, notes, child
):
    stages = [[child("failing", "note('serves'); sys.exit(3)"), child("killed", SERVE)]]

    async with keeping(stages, tmp_path / "logs") as [failing, killed]:
        for deaths in range(2):
            await until(lambda: happened(notes).count(("killed", "serves")) == deaths + 1)  # noqa: B023 - used at once
            serving = [pid for pid, what in zip(pids(notes), happened(notes), strict=True) if what[0] == "killed"]
            os.kill(serving[-1], signal.SIGKILL)
        await until(lambda: happened(notes).count(("killed", "serves")) == 3)
        await until(failing.cannot_start.is_set)

        assert not killed.cannot_start.is_set()


async def test_children_stop_one_by_one_in_the_opposite_order(tmp_path, notes, child):
    names = ["redis", "registry", "gateway"]

    async with keeping([[child(name, SERVE)] for name in names], tmp_path / "logs"):
        await until(lambda: len(happened(notes)) == 3)

    assert happened(notes)[3:] == [(name, "stops") for name in reversed(names)]
    assert not any(start_time(pid) for pid in pids(notes))


async def test_a_users_stop_reaches_the_children_that_know_it_first_and_each_child_once(tmp_path, notes, child):
    told = "signal.signal(signal.SIGINT, lambda *_: (note('cancels'), sys.exit(0)))\n" + SERVE
    executor = replace(child("executor", told), user_signal=signal.SIGINT)

    async with keeping([[child("redis", SERVE)], [executor], [child("invoker", SERVE)]], tmp_path / "logs") as children:
        await until(lambda: len(happened(notes)) == 3)
        await stop_by_user(children)
        assert happened(notes)[3:] == [("executor", "cancels")]

    assert happened(notes)[4:] == [("invoker", "stops"), ("redis", "stops")]


async def test_a_child_that_does_not_stop_is_killed_after_its_time(tmp_path, notes, child):
    async with keeping([[child("deaf", DEAF, stop_wait_s=0.3)]], tmp_path / "logs"):
        await until(lambda: happened(notes))

    assert start_time(pids(notes)[0]) is None


async def test_stopping_does_not_wait_for_a_child_that_is_about_to_be_started_again(tmp_path, notes, child):
    async with keeping([[child("crasher", "note('serves'); sys.exit(3)")]], tmp_path / "logs"):
        await until(lambda: happened(notes))
        await until(lambda: start_time(pids(notes)[0]) is None)

    assert len(happened(notes)) == 1


async def test_what_a_child_prints_is_in_its_log(tmp_path, notes, child):
    loud = child("loud", "print('out', flush=True); sys.stderr.write('err'); note('x')" + SERVE)

    async with keeping([[loud]], tmp_path):
        await until(lambda: len(happened(notes)) == 2)

    assert "out" in (tmp_path / "loud.log").read_text()
    assert "err" in (tmp_path / "loud.log").read_text()


async def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path, notes, child):
    spec = child("orphan", SERVE)
    program = (
        "import asyncio\n"
        "from pathlib import Path\n"
        "from services.local.plan import Child\n"
        "from services.local.supervisor import keeping\n"
        "import os\n"
        "async def main():\n"
        f"    async with keeping([[Child('orphan', {spec.argv!r}, dict(os.environ))]], Path({str(tmp_path)!r})):\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as supervisor:  # noqa: ASYNC220 - nothing else runs
        await until(lambda: happened(notes))
        supervisor.kill()

    await until(lambda: start_time(pids(notes)[0]) is None)
    assert happened(notes)[-1] == ("orphan", "stops")


async def test_its_own_redis_keeps_what_was_written_over_a_restart(tmp_path):
    async def talk(url, *command):
        host, _, port = url.removeprefix("redis://").removesuffix("/0").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(" ".join(command).encode() + b"\r\n")
        answer = await reader.readline()
        if answer.startswith(b"$") and answer != b"$-1\r\n":
            answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer.strip()

    settings = LocalGridSettings(redis_url="", redis_host="", data_dir=tmp_path)
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)

    async with serving(settings, tmp_path, lock) as url:
        assert url.startswith("redis://127.0.0.1:")
        assert await talk(url, "SET", "job", "accepted") == b"+OK"
    async with serving(settings, tmp_path, lock) as url:
        assert await talk(url, "GET", "job") == b"accepted"
    os.close(lock)


async def test_a_redis_that_was_configured_is_used_as_it_is(tmp_path, redis_url):
    settings = LocalGridSettings(redis_url=redis_url, data_dir=tmp_path)

    async with serving(settings, tmp_path, -1) as url:
        assert url == redis_url
    assert not (tmp_path / "redis").exists()


def stack(data_dir, **env):
    command = [sys.executable, "-P", "-m", "services"]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NANOGRID_")}
    return subprocess.Popen(
        command, env=inherited | {"NANOGRID_DATA_DIR": str(data_dir)} | env, stderr=subprocess.PIPE, text=True
    )


def test_a_grid_whose_port_is_taken_says_which_setting_would_do(tmp_path, shared_redis):
    with stack(tmp_path, NANOGRID_GATEWAY_LISTEN=f"127.0.0.1:{shared_redis.port}") as grid:
        said = grid.stderr.read()

    assert grid.returncode == 1
    assert "NANOGRID_GATEWAY_LISTEN=127.0.0.1:0" in said
    assert "Traceback" not in said


def test_a_setting_that_makes_no_sense_is_named(tmp_path):
    with stack(tmp_path, NANOGRID_EXECUTORS="many") as grid:
        said = grid.stderr.read()

    assert grid.returncode == 2
    assert "NANOGRID_EXECUTORS" in said
    assert "Traceback" not in said


async def test_a_second_grid_does_not_touch_the_data_of_the_first(tmp_path, shared_redis):
    first = stack(
        tmp_path,
        NANOGRID_GATEWAY_LISTEN="127.0.0.1:0",
        NANOGRID_EXECUTOR_SANDBOX_URL="process:",
        NANOGRID_REDIS_URL=shared_redis.url,
    )
    try:
        await until((tmp_path / "grid.json").exists)
        with stack(tmp_path, NANOGRID_GATEWAY_LISTEN="127.0.0.1:0") as second:
            said = second.stderr.read()
    finally:
        first.terminate()
        first.communicate()

    assert second.returncode == 1
    assert "already runs" in said
    assert first.returncode == 0
    assert not (tmp_path / "grid.json").exists()
