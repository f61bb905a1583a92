"""Sets up the grid's stores and an archive in folders."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nanogrid.jobs.record import encode
from nanogrid.v1.resources_pb2 import Job, JobState
from services.artifacts.archive import Archive, ArchivePace
from services.artifacts.copier import Copier
from services.artifacts.outage import Backoff
from support.faulty_blobs import FaultyBlobs

JSON = "application/json"
CODE = b"PK..." * 1000
DIGEST = hashlib.sha256(CODE).hexdigest()
KEY = "functions/1b4e28ba-2fa1-41d2-883f-0016d3cca427/code.zip"
PACE = ArchivePace(
    parallel=4, waiting=50, backoff=Backoff(0.002, 0.02), reconcile_s=1000, rest_s=0.01, slack_s=0
)  # fmt: skip


def record(job_id: str, state: str = "SUCCESS", *, key: str = KEY, digest: str = DIGEST, result: bytes = b"1") -> bytes:
    job_state = JobState.Value(f"JOB_STATE_{state}")
    return encode(Job(job_id=job_id, state=job_state, result=result, s3_key=key, code_sha256=digest))


async def stream(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100):
        yield content[start : start + 100]


class Grid:
    """The grid's stores and the archive's."""

    def __init__(self, code: FaultyBlobs, data: FaultyBlobs, target: FaultyBlobs, folder: Path) -> None:
        self.code, self.data, self.target, self.folder = code, data, target, folder

    def archive(self, name: str = "gs://one", **pace: Any) -> Archive:
        told = {field: getattr(PACE, field) for field in PACE.__slots__} | pace
        return Archive(Copier(self.code, self.data, self.target), self.data, name, ArchivePace(**told))

    async def keep(self, *job_ids: str, age_s: float = 0, **said: Any) -> None:
        await self.data.real.put_new({f"results/{one}.json": record(one, **said) for one in job_ids}, content_type=JSON)
        for one in job_ids if age_s else ():
            path = self.folder / "data/results" / f"{one}.json"
            os.utime(path, (time.time() - age_s,) * 2)

    async def archived(self) -> set[str]:
        found = {one.key async for one in self.target.real.list("results/")}
        return {key.removeprefix("results/").removesuffix(".json") for key in found}

    async def codes(self) -> set[str]:
        return {one.key async for one in self.target.real.list("code/")}

    def has(self, *job_ids: str) -> bool:
        return all((self.folder / f"target/results/{one}.json").exists() for one in job_ids)


@asynccontextmanager
async def at_work(archive: Archive) -> AsyncIterator[Archive]:
    task = asyncio.create_task(archive.run())
    try:
        yield archive
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.wait([task])
