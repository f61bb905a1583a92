"""Implements isolated sandboxes, one hardened Docker container each. The daemon only creates and removes them."""

import asyncio
import hashlib
import os
import resource
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cachetools import TTLCache
from docker.types import LogConfig, Mount, Ulimit

from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.sandbox import SandboxSettings, SandboxStartError
from services.executor.sandbox.ai_node import LOOPBACK_URL, AiNode, parse_ai_endpoint
from services.executor.sandbox.cage import (
    RUNTIMES_DIR,
    CageError,
    Inside,
    new_uid,
)
from services.executor.sandbox.cgroup import Cgroup, cgroup_of
from services.executor.sandbox.docker_daemon import Daemon
from services.executor.sandbox.etc import HOME, HOST_NAME, USER, container_files
from services.executor.sandbox.folder import SandboxFolder, VolumeError, remove_leftovers
from services.executor.sandbox.init_process import InitProcess
from services.executor.sandbox.opening import open_resident
from services.executor.sandbox.relay import Relay
from services.executor.sandbox.resident import Resident

_OFFERED = "offered"
_IMAGES_S = 5.0  # lifetime of the cached list of images

_EXECUTOR, _SANDBOX, _TOOLCHAIN = "nanogrid.executor", "nanogrid.sandbox", "nanogrid.toolchain"
_BOOST_CPUS = 1.0  # until the handler is loaded, because imports use one thread
_OPEN_FILES = 4096
_OOM_SCORE = 500  # when the machine runs out of memory, functions are killed before the executor


class DockerCage:
    """One container, named after its sandbox."""

    volumes = True

    def __init__(
        self,
        daemon: Daemon,
        runtime: Runtime,
        folder: SandboxFolder,
        settings: SandboxSettings,
        ai_node: AiNode | None,
    ) -> None:
        self._daemon = daemon
        self._runtime = runtime
        self._folder = folder
        self._settings = settings
        self._name = f"nanogrid-{folder.path.name}"
        self.init = InitProcess()
        self._ai_node = ai_node
        self._relay: Relay | None = None
        self.inside = Inside(ai_endpoint=ai_node.inside_url if ai_node else LOOPBACK_URL)

    async def prepare(self) -> None:
        """Create the container."""
        self._folder.write_etc(container_files(self._folder.uid))
        await self._daemon.ask(partial(self._daemon.api.create_container, **self._container()))

    async def start(self) -> None:
        """Start the container, after the relay to the AI node, for which PID 1 looks first."""
        if self._ai_node is not None:
            self._relay = Relay(self._folder.io, self._folder.uid, self._ai_node)
        await self._daemon.ask(partial(self._daemon.api.start, self._name))

    def watch(self, pid: int) -> Cgroup:
        """Hold on to PID 1, the parent of the runtime: its death is the sandbox's."""
        self.init.hold(pid)
        return cgroup_of(pid)

    def kill(self) -> None:
        """Kill PID 1. The kernel kills the rest of the namespace with it."""
        self.init.kill()

    async def remove(self) -> None:
        """Remove the container, running or not."""
        if self._relay is not None:
            await self._relay.close()
        self.init.close()
        await self._daemon.remove_container(self._name)

    def _container(self) -> dict[str, Any]:
        uid, settings = self._folder.uid, self._settings
        threads = str(max(1, round(settings.cpus)))
        return {
            "image": self._runtime.image,
            "name": self._name,
            "hostname": HOST_NAME,
            "entrypoint": ["/sbin/nanogrid-init"],
            "command": self._runtime.program.command(Path("/opt/nanogrid")),
            "user": f"{uid}:{uid}",
            "working_dir": "/",
            "network_disabled": True,
            "labels": {_EXECUTOR: settings.executor_id, _SANDBOX: self._folder.path.name},
            "environment": {
                "HOME": HOME,
                "USER": USER,
                "LOGNAME": USER,
                "LANG": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
                # One thread per processor of the machine would only wait for the sandbox's share.
                "OPENBLAS_NUM_THREADS": threads,
                "OMP_NUM_THREADS": threads,
                "GOMAXPROCS": threads,
            },
            "host_config": self._daemon.api.create_host_config(**self._host_config()),
        }

    def _host_config(self) -> dict[str, Any]:
        settings = self._settings
        memory = settings.default_memory_mb << 20
        return {
            "network_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],  # and the default seccomp profile
            "read_only": True,
            "pids_limit": settings.pids,
            "mem_limit": memory,
            "memswap_limit": memory,
            "nano_cpus": int(max(settings.cpus, _BOOST_CPUS) * 1e9),
            "ipc_mode": "private",
            "cgroupns": "private",
            "oom_score_adj": _OOM_SCORE,
            "log_config": LogConfig(type="none"),
            "ulimits": [
                Ulimit(name="nofile", soft=_OPEN_FILES, hard=_OPEN_FILES),
                Ulimit(name="core", soft=0, hard=0),
            ],
            "mounts": self._mounts(),
        }

    def _mounts(self) -> list[Mount]:
        folder = self._folder
        places = [
            ("/code", folder.code, True),
            ("/run/nanogrid", folder.io, True),
            ("/opt/nanogrid", RUNTIMES_DIR, True),
            ("/tmp", folder.tmp, False),  # noqa: S108 - the sandbox's own
            ("/output", folder.output, False),
            *((f"/etc/{file.name}", file, True) for file in folder.etc.iterdir()),
        ]
        return [Mount(there, str(here), type="bind", read_only=read_only) for there, here, read_only in places]


class DockerProvider:
    """Creates containers. Tracks the live ones, so that closing leaves none."""

    isolates = True

    def __init__(self, daemon: Daemon, settings: SandboxSettings) -> None:
        self._daemon = daemon
        self._settings = settings
        self._ai_node = parse_ai_endpoint(settings.ai_endpoint)
        self._living: set[Resident] = set()
        self._images: TTLCache[str, dict[str, str]] = TTLCache(1, _IMAGES_S)

    async def runtimes(self) -> list[str]:
        return list(await self._offered())

    async def toolchain(self, runtime: Runtime) -> str:
        name = (await self._offered()).get(runtime.name)
        if not name:
            raise SandboxStartError(f"there is no image that builds for {runtime.name}")
        builder = (RUNTIMES_DIR / runtime.language / "build").read_bytes()
        return f"{name}-{hashlib.sha256(builder).hexdigest()[:8]}"

    async def _offered(self) -> dict[str, str]:
        """Return the runtimes with an image here, and the toolchains in their images' labels."""
        if (known := self._images.get(_OFFERED)) is not None:
            return known
        try:
            images = await self._daemon.ask(self._daemon.api.images)
        except CageError as error:
            raise SandboxStartError(str(error)) from error
        labels = {tag: image["Labels"] or {} for image in images for tag in image["RepoTags"] or ()}
        names = {
            name: labels[runtime.image].get(_TOOLCHAIN, "")
            for name, runtime in RUNTIMES.items()
            if runtime.image in labels
        }
        self._images[_OFFERED] = names
        return names

    async def create(self, runtime: Runtime) -> Resident:
        folder = SandboxFolder(self._settings.root.absolute() / "sandboxes" / secrets.token_hex(8), new_uid())
        cage = DockerCage(self._daemon, runtime, folder, self._settings, self._ai_node)
        sandbox = await open_resident(runtime, folder, cage, self._settings)
        self._living = {other for other in self._living if not other.destroyed} | {sandbox}
        return sandbox

    async def sweep(self) -> int:
        mine = {"label": f"{_EXECUTOR}={self._settings.executor_id}"}
        try:
            found = await self._daemon.ask(partial(self._daemon.api.containers, all=True, filters=mine))
            await asyncio.gather(*(self._daemon.remove_container(one["Id"]) for one in found))
            left = {one["Labels"][_SANDBOX] for one in found}
            left.update(await asyncio.to_thread(remove_leftovers, self._settings.root))
        except (OSError, CageError, VolumeError) as error:
            raise SandboxStartError(f"leftovers of an earlier run could not be removed: {error}") from error
        return len(left)

    async def close(self) -> None:
        """Destroy the remaining sandboxes."""
        await asyncio.gather(*(sandbox.destroy() for sandbox in self._living))


@asynccontextmanager
async def open_docker(settings: SandboxSettings) -> AsyncIterator[DockerProvider]:
    """Connect to the daemon of `DOCKER_HOST`. Leaving destroys every sandbox. SandboxStartError without a daemon."""
    if os.geteuid() != 0:
        raise SandboxStartError(
            "docker: sandboxes need root, for their volumes and control groups; run the executor as root, "
            "or set NANOGRID_EXECUTOR_SANDBOX_URL=process: (which does not isolate)"
        )
    # A sandbox needs a dozen descriptors, and two for each connection to the AI node.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    daemon = Daemon(settings)
    try:
        await _ping(daemon)
        provider = DockerProvider(daemon, settings)
        try:
            yield provider
        finally:
            await provider.close()
    finally:
        daemon.close()


async def _ping(daemon: Daemon) -> None:
    try:
        await daemon.ask(daemon.api.ping)
    except CageError as error:
        raise SandboxStartError(
            f"the Docker daemon does not answer ({error}); start it, or set NANOGRID_EXECUTOR_SANDBOX_URL=process: "
            "(which does not isolate)"
        ) from error
