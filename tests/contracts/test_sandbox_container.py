"""What only containers promise: no rights, no network, and what the Python image carries."""

import asyncio
from pathlib import Path

from support.sandboxes import Bench


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
