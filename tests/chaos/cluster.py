"""Runs a grid of real processes on this machine, several of most kinds, without NanoGrid's supervisor."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from chaos.cloud import Cloud
from chaos.connection import BrokenError, Connection, NotReachedError
from chaos.journal import Journal
from chaos.member import Member
from nanogrid.local import redis_server
from services.executor.sandbox.process_group import kill_all
from support.redis_server import free_port

READY_S = 60.0
LEASE_S, VISIBILITY_S = 3.0, 4.0  # scaled down from 15 and 30
_DEATHS = 3  # of one process during the start, after which the start has failed
UNSENT_S, SWEEP_S = 2.0, 0.5


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers of processes and their settings. `fsync` is Redis's appendfsync, everysec or always.

    `queue`: "" = on the job store's Redis, "apart" = on a second Redis, "sqs" = on the adversarial SQS server with
    `mischief`. `cloud_errors` above 0 puts objects and tables on moto, and is the share of requests that fail.
    """

    executors: int = 4
    controllers: int = 2  # each a gateway and an invoker
    slots: int = 4
    fsync: str = "everysec"
    queue: str = ""
    mischief: Mapping[str, float] = field(default_factory=dict)
    cloud_errors: float = 0.0
    seed: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    sabotage: str = ""


class Cluster:
    """The processes of a grid by name."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder = folder
        self.shape = shape
        self.journal = Journal()
        self.members: dict[str, Member] = {}
        self.gateways: list[str] = []  # host:port
        self.redis_url = self._add_redis("redis")
        self.queue_url = self.redis_url
        self.cloud: Cloud | None = None
        if shape.queue == "apart":
            self.queue_url = self._add_redis("redis-queue")
        elif shape.queue == "sqs":
            self.cloud = Cloud(folder, self.journal, shape.mischief, proxied=shape.cloud_errors, seed=shape.seed)
            self.queue_url = self.cloud.env["NANOGRID_QUEUE_URL"]
        self._plan()

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def kin(self, kind: str) -> list[Member]:
        """Return the members of a kind: executor, gateway, invoker, registry, artifacts."""
        return [member for name, member in self.members.items() if name.split("-")[0] == kind]

    def _add_redis(self, name: str) -> str:
        port, data = free_port(), self.folder / name
        data.mkdir()
        command = list(redis_server.command(redis_server.find(redis_server.candidates()), port, data))
        command[command.index("--appendfsync") + 1] = self.shape.fsync
        self.members[name] = Member(name, command, {}, self.folder, self.journal)
        return f"redis://127.0.0.1:{port}/0"

    def _plan(self) -> None:
        shared = {
            "NANOGRID_DATA_DIR": str(self.folder / "data"),
            "NANOGRID_INTERNAL_TOKEN": "chaos",
            "NANOGRID_REDIS_URL": self.redis_url,
            "NANOGRID_REGISTRY_LISTEN": f"127.0.0.1:{free_port()}",
            "NANOGRID_ARTIFACTS_LISTEN": f"127.0.0.1:{free_port()}",
            "NANOGRID_INVOKER_UNSENT_S": str(UNSENT_S),
            "NANOGRID_INVOKER_SWEEP_S": str(SWEEP_S),
            "NANOGRID_EXECUTOR_SANDBOX_URL": "process:",
            "NANOGRID_EXECUTOR_POOL": "python3.11=1",
            "NANOGRID_EXECUTOR_SLOTS": str(self.shape.slots),
            "NANOGRID_EXECUTOR_LEASE_S": str(LEASE_S),
            "NANOGRID_EXECUTOR_VISIBILITY_S": str(VISIBILITY_S),
            "NANOGRID_EXECUTOR_DRAIN_S": "5",
            "NANOGRID_EXECUTOR_FREEZE_S": "60",  # thawing is not tested here
            "PYTHONUNBUFFERED": "1",
        }
        shared |= {f"NANOGRID_{one}_ADDRESS": shared[f"NANOGRID_{one}_LISTEN"] for one in ("REGISTRY", "ARTIFACTS")}
        shared |= {"NANOGRID_QUEUE_URL": self.queue_url, **self.shape.env}
        self._add("registry", "services.registry", shared)
        self._add("artifacts", "services.artifacts", shared)
        for number in range(1, self.shape.executors + 1):
            # Control groups are named after it, and must differ from those of other runs on this machine.
            name = f"executor-{number}-{self.folder.name.rpartition('-')[2]}"
            self._add(name, "services.executor", shared | {"NANOGRID_EXECUTOR_ID": name})
        for number in range(1, self.shape.controllers + 1):
            invoker, gateway = (f"127.0.0.1:{free_port()}" for _ in range(2))
            own = {"NANOGRID_INVOKER_LISTEN": invoker, "NANOGRID_INVOKER_ADDRESS": invoker}
            self._add(f"invoker-{number}", "services.invoker", shared | own)
            self._add(f"gateway-{number}", "gateway", shared | own | {"NANOGRID_GATEWAY_LISTEN": gateway})
            self.gateways.append(gateway)

    def _add(self, name: str, module: str, env: Mapping[str, str]) -> None:
        told = dict(env)
        if self.shape.sabotage:  # some answers will never come
            told = {"NANOGRID_GATEWAY_WAIT_S": "20", "CHAOS_SABOTAGE": self.shape.sabotage} | told
        self.members[name] = Member(
            name, (sys.executable, "-m", "chaos.launch", module), told, self.folder, self.journal
        )

    async def start(self) -> None:
        """Start everything and wait until every gateway is ready and every executor announced."""
        stores = self.kin("redis") + (self.cloud.members if self.cloud else [])
        await asyncio.gather(*(one.start() for one in stores))
        await self._until_stores()
        if self.cloud:
            await asyncio.to_thread(self.cloud.make)
            for member in self.members.values():
                member.env |= self.cloud.env
        await asyncio.gather(*(one.start() for one in self.members.values() if one not in stores))
        for address in self.gateways:
            await self._until(partial(_is_ready, address))
        await self._until(self._is_staffed)

    async def _until_stores(self) -> None:
        """Wait until every store answers."""
        addresses = [urlsplit(url).netloc for url in (self.redis_url, self.queue_url) if url.startswith("redis:")]
        for address in addresses + (self.cloud.addresses if self.cloud else []):
            await self._until(partial(_listens, address))

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for the condition. RuntimeError, with the end of all logs, when the grid does not start.

        A single death is no failure: a process may give up when the cloud fails at its start, and is restarted.
        """
        deadline = time.monotonic() + READY_S
        while not await condition():
            if time.monotonic() > deadline or any(one.deaths >= _DEATHS for one in self.members.values()):
                said = [f"{log.name}: {log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log"))]
                raise RuntimeError("\n".join([f"the grid did not start: {self.journal.faults}", *said]))
            await asyncio.sleep(0.05)

    async def _is_staffed(self) -> bool:
        async with Redis.from_url(self.redis_url) as client:
            return len(await client.keys("executor:*")) == self.shape.executors

    async def upload(self, source: str, env: Mapping[str, str]) -> str:
        """Upload a Python function and return its id."""
        fields = {"function_name": "chaos", "runtime": "python3.11", "timeout": "60", "memory_mb": "128"}
        async with httpx.AsyncClient(base_url=f"http://{self.gateways[0]}", timeout=60) as http:
            for _ in range(20):
                answer = await http.post(
                    "/upload",
                    files={"file": ("main.py", source.encode())},
                    data=fields | {"env": json.dumps(dict(env))},
                )
                if answer.status_code != 503:
                    break
        assert answer.status_code == 201, answer.text
        return str(answer.json()["function_id"])

    async def stop(self) -> None:
        """Stop everything, clients before the services they call."""
        for kind in ("gateway", "invoker", "executor", "artifacts", "registry", "redis"):
            await asyncio.gather(*(member.stop() for member in self.kin(kind)))
        for member in self.cloud.members if self.cloud else ():
            await member.stop()
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        """Remove the cgroups and mounts that killed executors left behind."""
        for executor in self.kin("executor"):
            for controller in Path("/sys/fs/cgroup").iterdir():
                for group in sorted(controller.glob(f"nanogrid/{executor.name}/**/"), reverse=True):
                    kill_all(group)
                    with contextlib.suppress(OSError):
                        group.rmdir()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (point := line.split(" ")[1]).startswith(str(self.folder)):
                subprocess.run(["umount", "--lazy", point], check=True)


async def _is_ready(address: str) -> bool:
    link = Connection(address)
    try:
        return (await link.ask("GET", "/ready", timeout_s=5)).status == 200
    except (BrokenError, NotReachedError):
        return False
    finally:
        link.close()


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def running(folder: Path, shape: Shape) -> AsyncIterator[Cluster]:
    """Run a cluster for the length of the block."""
    cluster = Cluster(folder, shape)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()
