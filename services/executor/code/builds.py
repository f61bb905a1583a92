"""Builds programs of compiled runtimes, once per code digest, in a sandbox, and shares them among executors."""

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from cachetools import LRUCache, TTLCache

from nanogrid.artifacts import Artifacts
from nanogrid.bundle import pack_single
from nanogrid.errors import NotFoundError
from nanogrid.logs import logger
from nanogrid.runtimes import Runtime
from services.executor.code.cache import CodeCache
from services.executor.code.compiler import BuildLimits, Transcript, take_program, why_it_failed
from services.executor.sandbox import (
    CallError,
    CallRequest,
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    Specialisation,
)

log = logger()

_AT_ONCE = 2  # builds at a time, each with processors of its own
_FAILED_S = 600.0  # a failure is remembered this long: the same code fails again, unless the machine lacked resources
_FAILURES = 100  # failures remembered, of at most 64 KiB each
_KNOWN = 10_000  # digests remembered
_CHUNK = 1024 * 1024
_PROGRAM = "program"


class BuildFailedError(Exception):
    """The code cannot be built. `error` is the job's error."""

    def __init__(self, error: CallError) -> None:
        super().__init__(error.message)
        self.error = error


def key_of_build(runtime: Runtime, toolchain: str, code_sha256: str) -> str:
    """Return the key of a build in the cache and in artifacts. Pure."""
    return f"{runtime.name}/{toolchain}/{code_sha256}"


class Builds:
    """Builds and finds programs. Safe to use concurrently: calls of one digest share one build.

    A failed build is not repeated for `_FAILED_S`. `scratch` is used by this object alone, and emptied at the start.
    """

    def __init__(
        self, provider: SandboxProvider, cache: CodeCache, artifacts: Artifacts, limits: BuildLimits, scratch: Path
    ) -> None:
        self._provider = provider
        self._cache = cache
        self._artifacts = artifacts
        self._limits = limits
        self._scratch = scratch
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._building: dict[str, asyncio.Lock] = {}
        self._callers: Counter[str] = Counter()  # holders and waiters of each lock
        self._failures: TTLCache[str, CallError] = TTLCache(_FAILURES, _FAILED_S)
        self._digests: LRUCache[str, str] = LRUCache(_KNOWN)  # of the builds that were in the cache
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)

    @asynccontextmanager
    async def program_of(self, runtime: Runtime, code: Path) -> AsyncIterator[Path | None]:
        """Yield the program built from a folder, safe from eviction inside the block, or None without a build.

        `code` is named by the digest of its bundle, as in the code cache. BuildFailedError when the code is at fault,
        SandboxStartError when the platform is.
        """
        if not runtime.compiled:
            yield None
            return
        key = key_of_build(runtime, await self._provider.toolchain(runtime), code.name)
        async with AsyncExitStack() as held:
            async with self._alone_with(key):
                folder = await self._find_or_build(held, key, runtime, code)
            yield folder / _PROGRAM

    @asynccontextmanager
    async def _alone_with(self, key: str) -> AsyncIterator[None]:
        self._callers[key] += 1
        try:
            async with self._building.setdefault(key, asyncio.Lock()):
                yield
        finally:
            self._callers[key] -= 1
            if not self._callers[key]:
                del self._callers[key], self._building[key]

    async def _find_or_build(self, held: AsyncExitStack, key: str, runtime: Runtime, code: Path) -> Path:
        if (failure := self._failures.get(key)) is not None:
            raise BuildFailedError(failure)
        try:
            folder = await held.enter_async_context(self._cache.checked_out(key, self._digests.get(key, "")))
        except NotFoundError:
            await self._build(key, runtime, code)
            folder = await held.enter_async_context(self._cache.checked_out(key, ""))
        self._digests[key] = folder.name
        return folder

    async def _build(self, key: str, runtime: Runtime, code: Path) -> None:
        started = time.monotonic()
        async with self._places:
            sandbox = await self._provider.create(runtime)
            try:
                await self._compile(sandbox, code)
                await self._keep(key, sandbox.output_dir)
            except BuildFailedError as failed:
                self._failures[key] = failed.error
                raise
            finally:
                await sandbox.destroy()
        log.info("built", build=key, seconds=round(time.monotonic() - started, 3))

    async def _compile(self, sandbox: Sandbox, code: Path) -> None:
        said, limits = Transcript(), self._limits
        what = Specialisation("", code, "", limits.memory_mb, cpus=limits.cpus)
        refused = await sandbox.specialise(what, said.take)
        if isinstance(refused, CallError):
            raise SandboxLostError(f"the build could not begin: {refused.message}")
        outcome = await sandbox.call(CallRequest("build", b"null", limits.timeout_s, said.take))
        if outcome.error is None:
            return
        if outcome.error.type == "Lost":
            raise SandboxLostError(f"the build was lost: {outcome.error.message}")
        raise BuildFailedError(why_it_failed(outcome.error, said.text(), limits))

    async def _keep(self, key: str, output: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            program, packed = Path(folder, _PROGRAM), Path(folder, "program.zip")
            error = await asyncio.to_thread(take_program, output, program, self._limits.program_bytes)
            if error is not None:
                raise BuildFailedError(error)
            await asyncio.to_thread(pack_single, program, _PROGRAM, packed)
            await self._artifacts.store_build(key, _read(packed))


async def _read(path: Path) -> AsyncIterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while chunk := await asyncio.to_thread(os.read, descriptor, _CHUNK):
            yield chunk
    finally:
        os.close(descriptor)
