"""The port Sandbox: an isolated place in which one function's hostile code runs.

A sandbox is created generic, specialised once for one function, serves its calls one by one, and is destroyed.
The pool chooses sandboxes, and slots drive them.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from nanogrid.limits import MAX_PAYLOAD_BYTES
from nanogrid.runtimes import Runtime

__all__ = [
    "CallError",
    "CallRequest",
    "CallResult",
    "Kind",
    "OutputStream",
    "Sandbox",
    "SandboxLostError",
    "SandboxOutageError",
    "SandboxProvider",
    "SandboxSettings",
    "SandboxStartError",
    "Specialisation",
    "open_provider",
]


class SandboxStartError(Exception):
    """No sandbox could be started. This is a fault of the platform, so the job may be retried."""


class SandboxLostError(SandboxStartError):
    """The sandbox was gone before its call ended, through no fault of the function."""


class SandboxOutageError(SandboxStartError):
    """The backend that makes sandboxes cannot be reached now. It counts as no try."""


class OutputStream(Enum):
    """The stream that a piece of output was written to."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Kind(Enum):
    """The way the code is called: a handler returns its result, a program prints it."""

    HANDLER = "handler"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class CallError:
    """The reason why a call failed. `type` is a `JobError.type` of the contract."""

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True)
class Specialisation:
    """A function to load into a generic sandbox. `code_dir` is an immutable folder of the host.

    Compiled runtimes run `program`, a file of the host. Without one a call builds the code into /output/program.
    """

    function_id: str
    code_dir: Path
    handler: str
    memory_mb: int
    fresh: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    program: Path | None = None
    cpus: float | None = None  # None = the provider's setting


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One call. `payload` is UTF-8 JSON. `timeout_s` None = no limit.

    `on_output` receives every piece of stdout and stderr as it is written, in order of arrival, and must not block.
    """

    job_id: str
    payload: bytes
    timeout_s: float | None
    on_output: Callable[[OutputStream, bytes], None]


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a call. `result` is the handler's return value as JSON, None for programs and failures.

    All output has been passed to `on_output` before. `exit_code` is set when a process ended.
    `reusable` says whether the sandbox may serve another call. If not, it must be destroyed.
    """

    result: bytes | None
    error: CallError | None
    exit_code: int | None
    peak_memory_bytes: int
    duration_ms: float
    reusable: bool


class Sandbox(Protocol):
    """One sandbox. Calls must not overlap, which the slot ensures. Only `destroy` uses the Docker daemon."""

    sandbox_id: str
    runtime: Runtime
    output_dir: Path  # host path of /output. Its content is hostile: never follow links
    runtime_bytes: int  # memory of the resident runtime before a function was loaded, 0 = not measured
    loading_bytes: int  # peak memory while the function was loaded, 0 = not measured

    @property
    def alive(self) -> bool:
        """Return whether the resident runtime is still connected. A dead sandbox can only be destroyed."""

    async def specialise(
        self, what: Specialisation, on_output: Callable[[OutputStream, bytes], None]
    ) -> CallError | Kind:
        """Place the code, apply limits and environment, and load the handler.

        Returns an InitError (or OutOfMemory, …) when the function fails. The sandbox can then only be destroyed.
        SandboxStartError when the platform fails.
        """

    async def call(self, request: CallRequest) -> CallResult:
        """Run one call. User failures are in the result. Raises only CancelledError, after which destroy it."""

    async def resize(self, memory_mb: int) -> None:
        """Change the memory limit of a specialised sandbox, unless the kernel refuses."""

    async def freeze(self) -> None:
        """Freeze every process in it. Idempotent."""

    async def thaw(self) -> None:
        """Thaw its processes. Idempotent. SandboxStartError when they are gone."""

    async def clear_output(self) -> None:
        """Empty /output for the next call."""

    async def destroy(self) -> None:
        """Kill everything in it, and remove container, mounts, folders and sockets. Idempotent, never raises."""


class SandboxProvider(Protocol):
    """Creates sandboxes of one kind."""

    isolates: bool  # hostile code cannot get out

    async def runtimes(self) -> list[str]:
        """Return canonical names of the runtimes it can serve now. SandboxStartError when that is unknown."""

    async def toolchain(self, runtime: Runtime) -> str:
        """Return the name of the current toolchain of a compiled runtime. The same name builds the same programs.

        SandboxStartError when the runtime cannot be served.
        """

    async def create(self, runtime: Runtime) -> Sandbox:
        """Create a generic sandbox with its resident runtime connected. SandboxStartError leaves nothing behind."""

    async def sweep(self) -> int:
        """Remove the leftovers of a crashed executor with this id. Return the number of sandboxes."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Settings of every adapter. `root` is a folder on disk, used by this executor id alone."""

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
    result_bytes: int = MAX_PAYLOAD_BYTES
    ai_endpoint: str = ""


@asynccontextmanager
async def open_provider(url: str, settings: SandboxSettings) -> AsyncIterator[SandboxProvider]:
    """Open the provider of `url`: `docker:` (hardened containers) or `process:` (child processes, not isolated)."""
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
