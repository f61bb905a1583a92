"""What a sandbox may use, and what it cannot reach."""

import asyncio
from pathlib import Path

import pytest

from services.executor.sandbox import CallError
from support.sandboxes import Bench, open_bench

MB = 1 << 20

HOG = """
import subprocess, sys
def handler(event, context):
    if event.get("child"):
        return subprocess.run([sys.executable, "-c", f"bytearray({event['mb']} << 20)"], check=True).returncode
    return len(bytearray(event["mb"] << 20))
"""


@pytest.mark.parametrize("fresh", [False, True])
async def test_more_memory_than_the_limit_is_out_of_memory(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(HOG, memory_mb=64, fresh=fresh)

    called = await loaded.call({"mb": 200})

    assert called.error.type == "OutOfMemory"
    assert "the limit is 64 MB" in called.error.message
    assert called.result.exit_code == 137
    assert 55 * MB < called.result.peak_memory_bytes <= 64 * MB
    assert not called.result.reusable


async def test_a_child_that_needs_too_much_memory_is_out_of_memory(bench: Bench) -> None:
    loaded = await bench.load(HOG, memory_mb=64)

    called = await loaded.call({"mb": 200, "child": True})

    assert called.error.type == "OutOfMemory"


async def test_loading_more_than_the_limit_is_out_of_memory(bench: Bench) -> None:
    loaded = await bench.load("hoard = bytearray(200 << 20)\ndef handler(event, context): pass\n", memory_mb=64)

    assert isinstance(loaded.kind, CallError)
    assert loaded.kind.type == "OutOfMemory"


async def test_memory_that_no_machine_has_is_out_of_memory(bench: Bench) -> None:
    loaded = await bench.load(HOG, memory_mb=64)

    called = await loaded.call({"mb": 1 << 40})

    assert called.error.type == "OutOfMemory"


@pytest.mark.parametrize("fresh", [False, True])
async def test_peak_memory_is_each_calls_own(bench: Bench, *, fresh: bool) -> None:
    loaded = await bench.load(HOG, memory_mb=256, fresh=fresh)

    large = (await loaded.call({"mb": 100})).result.peak_memory_bytes
    small = (await loaded.call({"mb": 1})).result.peak_memory_bytes

    assert 100 * MB < large < 160 * MB
    assert 1 * MB < small < 60 * MB


async def test_more_memory_than_the_default_can_be_given(bench: Bench) -> None:
    loaded = await bench.load(HOG, memory_mb=1024)

    assert (await loaded.call({"mb": 700})).value == 700 * MB


async def test_a_fork_bomb_is_stopped(sandbox_url: str, tmp_path: Path) -> None:
    code = """
import subprocess
def handler(event, context):
    children = []
    try:
        for _ in range(100):
            children.append(subprocess.Popen(["sleep", "60"]))
    except BlockingIOError:
        return len(children)
"""
    async with open_bench(sandbox_url, tmp_path, pids=32) as bench:
        loaded = await bench.load(code)

        assert 10 < (await loaded.call()).value < 32


async def test_code_is_read_only_and_tmp_and_output_are_not(bench: Bench) -> None:
    code = """
def attempt(path):
    try:
        with open(path, "w") as file:
            file.write("x")
    except OSError as error:
        return error.strerror
def handler(event, context):
    return {path: attempt(path) for path in event}
"""
    loaded = await bench.load(code)

    said = (await loaded.call(["/code/new", "/code/main.py", "/run/nanogrid/x", "/tmp/x", "/output/x"])).value

    assert said["/tmp/x"] is None
    assert said["/output/x"] is None
    assert all(said[path] is not None for path in ("/code/new", "/code/main.py", "/run/nanogrid/x"))
    assert (loaded.sandbox.output_dir / "x").read_text() == "x"


async def test_a_full_tmp_is_no_space_left_and_not_out_of_memory(sandbox_url: str, tmp_path: Path) -> None:
    code = """
def handler(event, context):
    written = 0
    try:
        with open(event + "/large", "wb", buffering=0) as file:
            while True:
                written += file.write(bytes(1 << 20))
    except OSError as error:
        return [written >> 20, error.strerror]
"""
    async with open_bench(sandbox_url, tmp_path, tmp_mb=96, output_mb=80) as bench:
        loaded = await bench.load(code, memory_mb=64)

        tmp, output = (await loaded.call("/tmp")).value, (await loaded.call("/output")).value

    assert tmp[1] == output[1] == "No space left on device"
    assert 96 <= tmp[0] <= 100
    assert 80 <= output[0] <= 84


async def test_output_is_emptied_without_following_links(bench: Bench, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("keep")
    code = """
import os
def handler(event, context):
    os.symlink(event, "/output/link")
    os.symlink("/", "/output/root")
    os.makedirs("/output/closed/inner")
    os.chmod("/output/closed", 0)
    os.chdir("/output")
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
"""
    loaded = await bench.load(code)
    await loaded.call(str(treasure))

    await loaded.sandbox.clear_output()

    assert list(loaded.sandbox.output_dir.iterdir()) == []
    assert treasure.read_text() == "keep"


async def test_two_sandboxes_are_two_users(bench: Bench) -> None:
    code = "import os\ndef handler(event, context): return [os.getuid(), os.getgid(), os.getgroups()]\n"
    one, other = await bench.load(code), await bench.load(code)

    first, second = (await one.call()).value, (await other.call()).value

    assert first[0] != second[0]
    assert 0 not in (*first[:2], *second[:2])
    assert set(first[2]) <= {first[1]}


async def test_a_frozen_sandbox_stands_still_and_goes_on_when_thawed(bench: Bench) -> None:
    code = """
import threading, time
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context): return ticks
"""
    loaded = await bench.load(code)
    await loaded.call()

    await loaded.sandbox.freeze()
    await loaded.sandbox.freeze()
    calling = asyncio.create_task(loaded.call())
    done, _ = await asyncio.wait([calling], timeout=0.2)
    assert not done
    await loaded.sandbox.thaw()
    await loaded.sandbox.thaw()

    assert (await calling).value >= 0


async def test_a_container_has_no_rights_no_network_and_no_host(docker_bench: Bench) -> None:
    code = """
import os, socket
def attempt(family, address):
    with socket.socket(family) as one:
        one.settimeout(1)
        try:
            one.connect(address)
        except OSError as error:
            return type(error).__name__
    return "connected"
def handler(event, context):
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    writable = []
    for folder in ("/", "/etc", "/usr", "/opt/nanogrid", "/run", "/var/tmp", "/sys/fs/cgroup", "/proc/sys"):
        try:
            open(folder + "/x", "w")
            writable.append(folder)
        except OSError:
            pass
    return {
        "status": {name: status[name].strip() for name in ("CapEff", "CapBnd", "CapPrm", "NoNewPrivs", "Seccomp")},
        "writable": writable,
        "interfaces": [name for _, name in socket.if_nameindex()],
        "reach": [
            attempt(socket.AF_INET, ("169.254.169.254", 80)),
            attempt(socket.AF_INET, ("1.1.1.1", 443)),
            attempt(socket.AF_INET6, ("fd00:ec2::254", 80)),
            attempt(socket.AF_INET, ("127.0.0.1", event)),
            attempt(socket.AF_INET, ("172.17.0.1", event)),
        ],
        "docker": [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)],
        "processes": sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit())[:1],
        "hostname": socket.gethostname(),
        "env": sorted(os.environ),
    }
"""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    loaded = await docker_bench.load(code)

    seen = (await loaded.call(port)).value
    server.close()

    zero = "0" * 16
    assert seen["status"] == {"CapEff": zero, "CapBnd": zero, "CapPrm": zero, "NoNewPrivs": "1", "Seccomp": "2"}
    assert seen["writable"] == []
    assert seen["interfaces"] == ["lo"]
    assert "connected" not in seen["reach"]
    assert seen["docker"] == []
    assert seen["processes"] == [1]
    assert seen["hostname"] == "nanogrid"
    assert not [name for name in seen["env"] if name.startswith(("AWS", "NANOGRID", "REDIS", "DOCKER"))]


async def test_nothing_in_a_container_is_setuid(docker_bench: Bench) -> None:
    code = """
import subprocess
def handler(event, context):
    return subprocess.run(["find", "/", "-xdev", "-perm", "/6000", "-type", "f"], capture_output=True, text=True).stdout
"""
    loaded = await docker_bench.load(code)

    assert (await loaded.call()).value == ""


async def test_the_fat_image_has_what_it_promises(docker_bench: Bench) -> None:
    names = ["requests", "numpy", "pandas", "PIL", "boto3", "httpx"]
    code = "def handler(event, context): return pandas.DataFrame(numpy.eye(2)).sum().to_list()\n"
    loaded = await docker_bench.load(f"import {', '.join(names)}\n{code}", fresh=True)

    assert (await loaded.call()).value == [1.0, 1.0]


async def test_numpy_starts_anew_in_every_fresh_call(docker_bench: Bench) -> None:
    code = "import numpy\ndef handler(event, context): return float(numpy.random.random())\n"
    loaded = await docker_bench.load(code, fresh=True)

    first, second = (await loaded.call()).value, (await loaded.call()).value

    assert first != second


async def test_the_processor_limit_comes_after_loading(docker_bench: Bench) -> None:
    loaded = await docker_bench.load("def handler(event, context): pass\n")

    container = docker_bench.provider._daemon.api.inspect_container(f"nanogrid-{loaded.sandbox.sandbox_id}")  # type: ignore[attr-defined]
    pid = container["State"]["Pid"]
    paths = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    v1 = Path(f"/sys/fs/cgroup/cpu{paths.get('cpu', '')}/cpu.cfs_quota_us")
    v2 = Path(f"/sys/fs/cgroup{paths.get('', '')}/cpu.max")

    quota = int((v1 if v1.exists() else v2).read_text().split()[0])
    assert quota == int(docker_bench.settings.cpus * 100_000)
    assert container["HostConfig"]["NanoCpus"] == 1_000_000_000


async def test_the_payloads_of_earlier_calls_do_not_pile_up_in_memory(bench: Bench) -> None:
    loaded = await bench.load("def handler(event, context): pass\n", memory_mb=64)

    for number in range(1500):  # 135 MB in all
        called = await loaded.call(f"{number:090000d}")
        assert called.result.error is None, number
