"""Implements sandboxes as child processes, without isolation, for laptops without Docker and for tests.

They have the limits that the machine allows: as root a uid, cgroups, volumes and mounts, without root a user namespace,
and otherwise plain folders. None of that isolates: functions reach the machine's network and files.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path

from nanogrid.logs import logger
from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.sandbox import SandboxSettings, SandboxStartError
from services.executor.sandbox.ai_node import LOOPBACK_URL
from services.executor.sandbox.cage import (
    RUNTIMES_DIR,
    Inside,
    new_uid,
)
from services.executor.sandbox.cgroup import Cgroup, cgroup_of
from services.executor.sandbox.etc import HOME, USER, machine_files
from services.executor.sandbox.folder import SandboxFolder, VolumeError, remove_leftovers
from services.executor.sandbox.init_process import InitProcess
from services.executor.sandbox.opening import open_resident
from services.executor.sandbox.process_group import OwnGroups, SignalGroup, executor_groups, kill_all
from services.executor.sandbox.resident import Resident

log = logger()

_LAUNCHER = Path(__file__).with_name("launcher.py")
_END_S = 5.0  # for killed processes to end
_POLL_S = 0.002


class ProcessCage:
    """One launcher process and all its descendants."""

    def __init__(
        self,
        folder: SandboxFolder,
        settings: SandboxSettings,
        command: Callable[[Path], list[str]],
        *,
        isolate: bool,
    ) -> None:
        self._folder = folder
        self._command = command
        self._isolate = isolate
        self._is_root = os.geteuid() == 0
        self._groups = OwnGroups(settings, folder.path.name) if self._is_root else None
        self._procs: list[str] = []
        self._launcher: asyncio.subprocess.Process | None = None
        self.init = InitProcess()
        self.volumes = self._is_root
        self.inside = self._inside(settings.ai_endpoint or LOOPBACK_URL)

    def _inside(self, ai_endpoint: str) -> Inside:
        if self._isolate:
            return Inside(ai_endpoint=ai_endpoint)
        folder = self._folder
        places = {"NANOGRID_CODE_DIR": folder.code, "NANOGRID_OUTPUT_DIR": folder.output, "TMPDIR": folder.tmp}
        env = {name: str(place) for name, place in places.items()}
        return Inside(
            str(folder.code), str(folder.io / "payload.json"), own_pids=False, ai_endpoint=ai_endpoint, env=env
        )

    async def prepare(self) -> None:
        """Create the control groups and the files of /etc."""
        if self._isolate:
            self._folder.write_etc(machine_files(self._folder.uid))
        if self._groups is not None:
            self._procs = self._groups.make()

    async def start(self) -> None:
        """Start the launcher, which starts the runtime."""
        folder = self._folder
        runtimes = Path("/opt/nanogrid") if self._isolate else RUNTIMES_DIR
        config = {
            "folder": str(folder.path),
            "runtimes": str(RUNTIMES_DIR),
            "cgroups": self._procs,
            "uid": folder.uid if self._is_root else None,
            "isolate": self._isolate,
            "command": self._command(runtimes),
            "env": {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": HOME if self._isolate else str(folder.tmp),
                "USER": USER,
                "LOGNAME": USER,
                "LANG": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
                "NANOGRID_IO": "/run/nanogrid" if self._isolate else str(folder.io),
            },
        }
        self._launcher = await _launch(config)

    def watch(self, pid: int) -> Cgroup:
        """Hold on to the launcher's PID 1, and to the groups."""
        assert self._launcher is not None
        self.init.hold(pid)
        return cgroup_of(pid) if self._is_root else SignalGroup(self._launcher.pid, pid)

    def kill(self) -> None:
        """Kill PID 1, the process group and the control groups, as far as they exist."""
        self.init.kill()
        if self._launcher is not None and self._launcher.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._launcher.pid, signal.SIGKILL)
        if self._groups is not None:
            self._groups.kill()

    async def remove(self) -> None:
        """Wait for the end of the processes and remove the groups."""
        self.init.close()
        if self._launcher is not None:
            async with asyncio.timeout(_END_S):
                await self._launcher.wait()
        if self._groups is not None:
            await _until_removed(self._groups)


async def _launch(config: Mapping[str, object]) -> asyncio.subprocess.Process:
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(config),
        stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True,
    )  # fmt: skip


async def _until_removed(groups: OwnGroups) -> None:
    async with asyncio.timeout(_END_S):
        while True:
            try:
                groups.remove()
            except OSError:  # EBUSY: the last process is still ending
                groups.kill()
                await asyncio.sleep(_POLL_S)
            else:
                return


class ProcessProvider:
    """Creates process sandboxes. Tracks the live ones, so that closing leaves none."""

    isolates = False

    def __init__(self, settings: SandboxSettings, *, isolate: bool) -> None:
        self._settings = settings
        self._isolate = isolate
        self._living: set[Resident] = set()

    async def runtimes(self) -> list[str]:
        found = await asyncio.to_thread(lambda: [interpreter(runtime) for runtime in RUNTIMES.values()])
        return [name for name, its in zip(RUNTIMES, found, strict=True) if its is not None]

    async def toolchain(self, runtime: Runtime) -> str:
        raise SandboxStartError(f"{runtime.name} is built and run in docker: sandboxes only")

    async def create(self, runtime: Runtime) -> Resident:
        found = await asyncio.to_thread(interpreter, runtime)
        if found is None:
            raise SandboxStartError(f"there is no interpreter for {runtime.name} on this machine")
        uid = new_uid() if os.geteuid() == 0 else os.geteuid()
        folder = SandboxFolder(self._settings.root.absolute() / "sandboxes" / secrets.token_hex(8), uid)
        command = partial(runtime.program.command, interpreter=found)
        cage = ProcessCage(folder, self._settings, command, isolate=self._isolate)
        sandbox = await open_resident(runtime, folder, cage, self._settings)
        self._living = {other for other in self._living if not other.destroyed} | {sandbox}
        return sandbox

    async def sweep(self) -> int:
        try:
            return len(await asyncio.to_thread(self._sweep))
        except (OSError, VolumeError) as error:
            raise SandboxStartError(f"leftovers of an earlier run could not be removed: {error}") from error

    def _sweep(self) -> set[str]:
        groups = _remove_groups(self._settings.executor_id) if os.geteuid() == 0 else set()
        return groups | set(remove_leftovers(self._settings.root))

    async def close(self) -> None:
        """Destroy the remaining sandboxes, and processes that survived an earlier destruction."""
        await asyncio.gather(*(sandbox.destroy() for sandbox in self._living))
        if os.geteuid() == 0:
            await asyncio.to_thread(_remove_groups, self._settings.executor_id)


def _remove_groups(executor_id: str) -> set[str]:
    found = set()
    for base in executor_groups(executor_id):
        for folder in [entry for entry in base.iterdir() if entry.is_dir()]:
            found.add(folder.name)
            kill_all(folder)
            _remove_when_empty(folder)
        _remove_when_empty(base)
    return found


def _remove_when_empty(folder: Path) -> None:
    for _ in range(int(_END_S / _POLL_S)):
        try:
            folder.rmdir()
        except OSError:
            kill_all(folder)
            signal.sigtimedwait((), _POLL_S)  # sleeps, in a thread
        else:
            return


def interpreter(runtime: Runtime) -> str | None:
    """Return the machine's interpreter for a runtime, or None. As root, only one that sandboxes' uids can execute."""
    if not runtime.executable:  # its resident program exists in images only
        return None
    for candidate in _candidates(runtime):
        usable = os.access(candidate, os.X_OK) and not _is_script(candidate) and _is_reachable(candidate)
        if usable and _is_version(candidate, runtime):
            return candidate
    return None


def _candidates(runtime: Runtime) -> Iterator[str]:
    name = runtime.executable
    yield f"/usr/bin/{name}"
    yield f"/usr/local/bin/{name}"
    if (found := shutil.which(name)) is not None:
        yield found
    if name == f"python{sys.version_info.major}.{sys.version_info.minor}":
        yield sys.executable


def _is_version(path: str, runtime: Runtime) -> bool:
    if runtime.executable == runtime.name:
        return True  # its file name tells its version
    return _major(path, Path(path).stat().st_mtime_ns) == runtime.version


@cache
def _major(path: str, modified_ns: int) -> tuple[int, ...]:  # noqa: ARG001 - a replaced interpreter is asked again
    """Return an interpreter's major version, (18,) for `v18.19.0`, or () when it is unknown."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    major = said.strip().lstrip("v").partition(".")[0]
    return (int(major),) if major.isdecimal() else ()


def _is_script(path: str) -> bool:
    """Return whether a file is a script, such as a version manager's shim, which would cost every sandbox a shell."""
    with Path(path).open("rb") as file:
        return file.read(2) == b"#!"


def _is_reachable(path: str) -> bool:
    if os.geteuid() != 0:
        return True
    resolved = Path(path).resolve()
    return all(part.stat().st_mode & 0o001 for part in (resolved, *resolved.parents))


@asynccontextmanager
async def open_process(settings: SandboxSettings) -> AsyncIterator[ProcessProvider]:
    """Open the provider, with a warning in the log. Leaving destroys every sandbox."""
    log.warning(
        "process sandboxes do not isolate: functions can use this machine's network and read its files; "
        "set NANOGRID_EXECUTOR_SANDBOX_URL=docker: to run code you do not trust"
    )
    probe = await _launch({"probe": True})
    isolate = await probe.wait() == 0
    provider = ProcessProvider(settings, isolate=isolate)
    try:
        yield provider
    finally:
        await provider.close()
