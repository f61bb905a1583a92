"""Loads code into sandboxes and calls it, for tests."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.sandbox import (
    CallError,
    CallRequest,
    CallResult,
    Kind,
    OutputStream,
    Sandbox,
    SandboxProvider,
    SandboxSettings,
    Specialisation,
    open_provider,
)
from services.executor.sandbox.process import interpreter
from support.sources import SOURCES
from support.waiting import WATCHDOG_S

PYTHON = RUNTIMES["python3.11"]
NODE = RUNTIMES["nodejs18.x"]


@dataclass
class Printed:
    """The output of a sandbox."""

    pieces: list[tuple[OutputStream, bytes]] = field(default_factory=list)

    def __call__(self, stream: OutputStream, piece: bytes) -> None:
        self.pieces.append((stream, piece))

    def of(self, stream: OutputStream) -> bytes:
        return b"".join(piece for its, piece in self.pieces if its is stream)

    @property
    def out(self) -> str:
        return self.of(OutputStream.STDOUT).decode()

    @property
    def err(self) -> str:
        return self.of(OutputStream.STDERR).decode()


@dataclass
class Called:
    """One finished call."""

    result: CallResult
    printed: Printed

    @property
    def value(self) -> Any:
        assert self.result.error is None, self.result.error
        assert self.result.result is not None
        return json.loads(self.result.result)

    @property
    def error(self) -> CallError:
        assert self.result.error is not None, self.result
        return self.result.error


class Loaded:
    """A specialised sandbox."""

    def __init__(self, sandbox: Sandbox, kind: Kind | CallError, printed: Printed) -> None:
        self.sandbox = sandbox
        self.kind = kind
        self.printed = printed

    async def call(self, event: object = None, timeout_s: float | None = WATCHDOG_S, job_id: str = "job-1") -> Called:
        assert isinstance(self.kind, Kind), self.kind
        printed = Printed()
        payload = json.dumps(event, ensure_ascii=False).encode()
        return Called(await self.sandbox.call(CallRequest(job_id, payload, timeout_s, printed)), printed)


class Bench:
    """Creates sandboxes of one runtime with code in them. `sources` are the suite's functions in its language."""

    def __init__(
        self, provider: SandboxProvider, settings: SandboxSettings, code_root: Path, runtime: Runtime = PYTHON
    ) -> None:
        self.provider = provider
        self.settings = settings
        self.runtime = runtime
        self.sources: ModuleType = SOURCES[runtime.language]
        self._code_root = code_root
        self._made = 0

    def write(self, files: Mapping[str, str | bytes]) -> Path:
        self._made += 1
        folder = self._code_root / str(self._made)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    async def load(
        self,
        code: str | Mapping[str, str | bytes],
        *,
        handler: str = "main.handler",
        memory_mb: int = 256,
        fresh: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Loaded:
        folder = self.write({self.sources.MAIN: code} if isinstance(code, str) else code)
        sandbox = await self.provider.create(self.runtime)
        printed = Printed()
        what = Specialisation("function-1", folder, handler, memory_mb, fresh=fresh, env=env or {})
        return Loaded(sandbox, await sandbox.specialise(what, printed), printed)


OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]


def absent(url: str, runtime: Runtime = PYTHON) -> str | None:
    """Return why sandboxes of this kind cannot run here, or None when they can."""
    if url == "process:":
        return None if interpreter(runtime) is not None else f"no {runtime.name}"
    if os.geteuid() != 0:
        return "docker sandboxes need root"
    if shutil.which("docker") is None:
        return "docker is not installed"
    found = subprocess.run(["docker", "image", "inspect", runtime.image], capture_output=True, check=False)
    return None if found.returncode == 0 else f"{runtime.image} is not here: run deploy/images/build.sh"


def here(url: str, runtime: Runtime) -> Runtime:
    """Return the runtime, or for `process:` an installed one of its language."""
    if url == "docker:" or absent(url, runtime) is None:
        return runtime
    others = (one for one in RUNTIMES.values() if one.language == runtime.language and absent(url, one) is None)
    return next(others, runtime)


@asynccontextmanager
async def open_bench(url: str, tmp_path: Path, runtime: Runtime = PYTHON, **settings: Any) -> AsyncIterator[Bench]:
    """Open a bench on sandboxes of this kind. Skip without them, or fail in CI."""
    missing = absent(url, runtime)
    if missing is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    chosen = SandboxSettings(**{"root": tmp_path / "executor", "executor_id": f"test-{tmp_path.name}", **settings})
    async with open_provider(url, chosen) as provider:
        yield Bench(provider, chosen, tmp_path / "code", runtime)
