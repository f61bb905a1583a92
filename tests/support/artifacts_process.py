"""Runs the artifacts service as a process that can be stopped, killed and restarted."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from nanogrid.rpc.client import open_stub
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub


class ArtifactsProcess:
    """Runs `python -m services.artifacts` and collects its log lines in `logged`."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "NANOGRID_DATA_DIR": str(data_dir),
            "NANOGRID_ARTIFACTS_LISTEN": "127.0.0.1:0",
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.port = 0
        self.logged: list[dict] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.artifacts", env=self._environment, stderr=asyncio.subprocess.PIPE
        )
        serving = asyncio.Event()
        self._reader = asyncio.create_task(self._read(serving))
        await serving.wait()
        assert self.port, self.logged

    async def _read(self, serving: asyncio.Event) -> None:
        async for line in self._process.stderr:
            event = orjson.loads(line)
            self.logged.append(event)
            if event["event"] == "serving":
                self.port = event["port"]
                serving.set()
        serving.set()

    async def stop(self) -> None:
        """Stop it with SIGTERM and check that it exits with 0."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
            assert self._process.returncode == 0
        await self._reader

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reader

    def peak_bytes(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    @asynccontextmanager
    async def stub(self) -> AsyncIterator[ArtifactsServiceStub]:
        async with open_stub(ArtifactsServiceStub, f"127.0.0.1:{self.port}") as stub:
            yield stub
