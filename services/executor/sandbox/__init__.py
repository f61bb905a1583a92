"""The port Sandbox: a place where one function's hostile code runs, and nothing else can be reached.

A sandbox is created generic, is specialised once to one function, serves its calls one after another and is destroyed.
The pool chooses sandboxes. The slot decides when each may act.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from nanogrid.runtimes import Runtime

__all__ = [
    "CallError",
    "CallRequest",
    "CallResult",
    "Kind",
    "OutputStream",
    "Sandbox",
    "SandboxProvider",
    "SandboxSettings",
    "SandboxStartError",
    "Specialisation",
    "open_provider",
]


class SandboxStartError(Exception):
    """No sandbox could be had. A fault of the platform, not of the function: the job may be tried again."""


class OutputStream(Enum):
    """Which of the two a piece of output was written to."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Kind(Enum):
    """How the specialised code is called: a handler returns its result, a program prints it."""

    HANDLER = "handler"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class CallError:
    """Why a call failed, in the contract's vocabulary (`JobError.type`)."""

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Specialisation:
    """The order that turns a generic sandbox into one function's. `code_dir` is a host folder that changes no more.

    Compiled runtimes run `program`, a host file. Without one a call builds the code into /output/program.
    """

    function_id: str
    code_dir: Path
    handler: str
    memory_mb: int
    fresh: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    program: Path | None = None
    cpus: float | None = None  # None = as the provider was told


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One call. `payload` is UTF-8 JSON. `timeout_s` None = no limit.

    `on_output` gets every piece of stdout and stderr while it is written, in order of arrival, and must not block.
    """

    job_id: str
    payload: bytes
    timeout_s: float | None
    on_output: Callable[[OutputStream, bytes], None]


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended. `result` is the handler's return value as JSON, None for programs and failures.

    All output of the call has gone to `on_output` before this is returned. `exit_code` is set where a process ended.
    `reusable` says whether the sandbox may serve another call. If not it only waits to be destroyed.
    """

    result: bytes | None
    error: CallError | None
    exit_code: int | None
    peak_memory_bytes: int
    duration_ms: float
    reusable: bool


class Sandbox(Protocol):
    """One sandbox. Calls never overlap. The slot sees to that. Only destroy goes through the Docker daemon."""

    sandbox_id: str
    runtime: Runtime
    output_dir: Path  # the host's path of the sandbox's /output: hostile content, never follow its links
    runtime_bytes: int  # what the resident runtime itself held before any function was loaded; 0 = not measured

    @property
    def alive(self) -> bool:
        """Return whether its resident runtime is still there. One that died between calls is only good for destroy."""

    async def specialise(
        self, what: Specialisation, on_output: Callable[[OutputStream, bytes], None]
    ) -> CallError | Kind:
        """Place the code, apply limits and environment, load the handler.

        An InitError (or OutOfMemory, …) is returned, not raised. The sandbox is then only good for destroy.
        SandboxStartError when the platform could not do its part.
        """

    async def call(self, request: CallRequest) -> CallResult:
        """Run one call. User failures are in the result. Nothing is raised but CancelledError (then destroy it)."""

    async def resize(self, memory_mb: int) -> None:
        """Change the memory limit of a specialised sandbox. Kept as it is where the kernel refuses."""

    async def freeze(self) -> None:
        """Stop every process in it. Idempotent."""

    async def thaw(self) -> None:
        """Let them go on. Idempotent. SandboxStartError when it is gone."""

    async def clear_output(self) -> None:
        """Empty /output for the next call."""

    async def destroy(self) -> None:
        """Kill everything in it, remove container, mounts, folders and sockets. Idempotent, never raises."""


class SandboxProvider(Protocol):
    """Makes sandboxes of one kind."""

    isolates: bool  # whether hostile code is held back

    async def runtimes(self) -> list[str]:
        """Canonical names of the runtimes it can serve now."""

    async def toolchain(self, runtime: Runtime) -> str:
        """Name the toolchain that builds programs of this compiled runtime now: the same name makes the same program.

        SandboxStartError when it cannot be served.
        """

    async def create(self, runtime: Runtime) -> Sandbox:
        """Make a generic sandbox. Its resident runtime has dialled in. SandboxStartError leaves nothing behind."""

    async def sweep(self) -> int:
        """Remove the leftovers of a crashed process of this executor id. Say how many sandboxes that were."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The settings of every adapter. `root` is a folder on disk, owned by this executor id alone."""

    root: Path
    executor_id: str
    default_memory_mb: int = 512
    cpus: float = 0.5
    pids: int = 256
    tmp_mb: int = 512
    output_mb: int = 1024
    output_files: int = 1000
    start_timeout_s: float = 60.0
    init_timeout_s: float = 60.0
    result_bytes: int = 32 * 1024 * 1024
    ai_endpoint: str = ""


@asynccontextmanager
async def open_provider(url: str, settings: SandboxSettings) -> AsyncIterator[SandboxProvider]:
    """Open the sandboxes behind `url`: `docker:` (hardened containers) or `process:` (child processes, no walls)."""
    match url.rstrip("/"):
        case "docker:":
            from services.executor.sandbox.docker import open_docker  # noqa: PLC0415 - an adapter loads its SDK on use

            async with open_docker(settings) as provider:
                yield provider
        case "process:":
            from services.executor.sandbox.process import open_process  # noqa: PLC0415 - see above

            async with open_process(settings) as provider:
                yield provider
        case _:
            raise ValueError(f"NANOGRID_EXECUTOR_SANDBOX_URL: {url!r} is not known; use docker: or process:")
