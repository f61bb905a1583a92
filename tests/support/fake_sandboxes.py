"""Fakes of the sandbox port that run nothing, for the rules of pool and runner."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from nanogrid.runtimes import Runtime
from services.executor.sandbox import (
    CallError,
    CallRequest,
    CallResult,
    Kind,
    OutputStream,
    SandboxStartError,
    Specialisation,
)

LOST = CallResult(None, CallError("Lost", "the sandbox was killed"), None, 0, 1.0, reusable=False)
OK = CallResult(b'"ok"', None, 0, 50 * 1024 * 1024, 1.0, reusable=True)


class FakeSandbox:
    def __init__(self, provider: "FakeProvider", runtime: Runtime, number: int) -> None:
        self.sandbox_id = f"sandbox-{number}"
        self.runtime = runtime
        self.output_dir = provider.folder / self.sandbox_id
        self.output_dir.mkdir()
        self.provider = provider
        self.frozen = False
        self.alive = True
        self.runtime_bytes = provider.runtime_bytes
        self.memory_mb = 0
        self.loading_bytes = 0

    async def specialise(
        self, what: Specialisation, on_output: Callable[[OutputStream, bytes], None]
    ) -> CallError | Kind:
        self.provider.specialised.append(what)
        self.memory_mb = what.memory_mb
        self.loading_bytes = 20 * 1024 * 1024
        return self.provider.init

    async def call(self, request: CallRequest) -> CallResult:
        assert not self.frozen
        self.provider.calls.append(request.job_id)
        self.provider.payloads.append(bytes(request.payload))
        self.provider.say = lambda data: request.on_output(OutputStream.STDOUT, data)
        self.provider.calling.set()
        await self.provider.gate.wait()
        for stream, data in self.provider.prints:
            request.on_output(stream, data)
        for name, content in self.provider.leaves.items():
            (self.output_dir / name).write_bytes(content)
        if self.provider.loses:
            self.provider.loses -= 1
            return LOST
        return self.provider.result

    async def resize(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb

    async def freeze(self) -> None:
        self.frozen = True

    async def thaw(self) -> None:
        self.frozen = False

    async def clear_output(self) -> None:
        for path in self.output_dir.iterdir():
            path.unlink()

    async def destroy(self) -> None:
        self.provider.destroyed.append(self.sandbox_id)


class FakeProvider:
    """Creates fakes that behave as its public fields say. `gate` blocks calls while it is cleared."""

    isolates = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = 0
        self.calls: list[str] = []
        self.payloads: list[bytes] = []
        self.specialised: list[Specialisation] = []
        self.destroyed: list[str] = []
        self.init: CallError | Kind = Kind.HANDLER
        self.result = OK
        self.prints: list[tuple[OutputStream, bytes]] = []
        self.leaves: dict[str, bytes] = {}
        self.runtime_bytes = 6 * 1024 * 1024
        self.fails = 0  # creations still to fail
        self.fault = SandboxStartError("no room")
        self.loses = 0  # calls whose sandbox is still to be lost
        self.gate = asyncio.Event()
        self.gate.set()
        self.calling = asyncio.Event()
        self.say: Callable[[bytes], None] = lambda _: None  # prints in the call that runs
        self._numbers = itertools.count(1)

    async def runtimes(self) -> list[str]:
        return ["python3.11"]

    async def toolchain(self, runtime: Runtime) -> str:
        return "fake-1"

    async def create(self, runtime: Runtime) -> FakeSandbox:
        if self.fails:
            self.fails -= 1
            raise self.fault
        self.made += 1
        return FakeSandbox(self, runtime, next(self._numbers))

    async def sweep(self) -> int:
        return 0
