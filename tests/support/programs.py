"""Builds compiled functions for tests: one program per language that acts as its event says."""

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nanogrid.bundle import BundleLimits
from nanogrid.errors import NotFoundError
from nanogrid.runtimes import RUNTIMES, Runtime
from services.executor.code.builds import BuildFailedError, Builds
from services.executor.code.cache import CodeCache
from services.executor.code.compiler import BuildLimits
from services.executor.sandbox import CallError, Sandbox, Specialisation
from support.program_sources import ACTORS
from support.sandboxes import Bench, Loaded, Printed

CPP, GO = RUNTIMES["cpp"], RUNTIMES["go"]


class Kept:
    """Stands in for artifacts: holds builds by key."""

    def __init__(self) -> None:
        self.builds: dict[str, bytes] = {}
        self.times = 0

    async def fetch_build(self, key: str) -> AsyncIterator[str | bytes]:
        if key not in self.builds:
            raise NotFoundError("nobody has built it")
        yield self.builds[key]

    async def store_build(self, key: str, content: AsyncIterator[bytes]) -> None:
        self.times += 1
        self.builds[key] = b"".join([chunk async for chunk in content])


_ACTORS_BUILT = Kept()  # shared by all tests of a run, because building an actor takes seconds


class Builder:
    """Builds programs as one executor does, and loads them into sandboxes."""

    def __init__(self, bench: Bench, folder: Path, kept: Kept, **limits: Any) -> None:
        self.bench = bench
        self.kept = kept
        self._folder = folder
        self.limits = BuildLimits(**limits)
        cache = CodeCache(folder / "builds", 1_000_000_000, kept.fetch_build, BundleLimits())
        self.builds = Builds(bench.provider, cache, kept, self.limits, folder / "building")

    @asynccontextmanager
    async def built(self, runtime: Runtime, files: Mapping[str, str | bytes]) -> AsyncIterator[tuple[Path, Path]]:
        """Yield the code's folder, named by its content's digest, and its program."""
        code = self._write(files)
        async with self.builds.program_of(runtime, code) as program:
            assert program is not None
            yield code, program

    def _write(self, files: Mapping[str, str | bytes]) -> Path:
        code = self._folder / "sources" / hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        for name, content in files.items():
            path = code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return code

    async def failure(self, runtime: Runtime, files: Mapping[str, str | bytes]) -> CallError:
        """Build code that must fail, and return the error."""
        with pytest.raises(BuildFailedError) as caught:
            async with self.built(runtime, files):
                pass
        assert caught.value.error.type == "BuildError"
        return caught.value.error

    async def printed(self, runtime: Runtime, files: Mapping[str, str | bytes], event: Any = None) -> str:
        """Run the program and return everything it prints, on both streams."""
        loaded = await self.load(runtime, files)
        called = await loaded.call(event)
        await loaded.sandbox.destroy()
        assert called.result.error is None, called.result.error
        return called.printed.out + called.printed.err

    async def load(self, runtime: Runtime, files: Mapping[str, str | bytes], memory_mb: int = 256) -> Loaded:
        """Build the program and load it into a sandbox."""
        async with self.built(runtime, files) as (code, program):
            sandbox: Sandbox = await self.bench.provider.create(runtime)
            printed = Printed()
            handler = f"main{runtime.suffixes[0]}"
            what = Specialisation(
                "function-1", code, handler, memory_mb, env={"COLOUR": "파랑\n\"'\\", "JOB_ID": "no"}, program=program
            )
            return Loaded(sandbox, await sandbox.specialise(what, printed), printed)


def require(runtime: Runtime) -> None:
    """Skip without the runtime's image, or fail in CI."""
    found = subprocess.run(["docker", "image", "inspect", runtime.image], capture_output=True, check=False)
    if found.returncode != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{runtime.image} is not here")


async def load_actor(bench: Bench, folder: Path, runtime: Runtime, memory_mb: int = 256) -> Loaded:
    """Load the actor of a language into a new sandbox."""
    builder = Builder(bench, folder, _ACTORS_BUILT)
    return await builder.load(runtime, ACTORS[runtime.language], memory_mb)
