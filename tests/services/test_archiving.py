"""Artifacts as a process with an archive in Google Cloud Storage, which fails in every way it can."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from nanogrid.errors import UnavailableError
from nanogrid.jobs.record import encode
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1.resources_pb2 import Job, JobState
from support.artifacts import upload_code
from support.artifacts_process import ArtifactsProcess
from support.gcs_server import GcsServer, gcs_server
from support.moto_server import MotoServer
from support.waiting import until

FUNCTION = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
KEY = f"functions/{FUNCTION}/code.zip"
MB = 1024 * 1024


@pytest.fixture
def google() -> Iterator[GcsServer]:
    with gcs_server("box") as server:
        yield server


@pytest.fixture
async def artifacts(tmp_path: Path, google: GcsServer) -> AsyncIterator[ArtifactsProcess]:
    """Not started yet."""
    process = ArtifactsProcess(tmp_path, {"GCP_BUCKET_NAME": "box", **google.env})
    yield process
    await process.stop()


def finished(job_id: str, digest: str = "", state: str = "SUCCESS", **said: Any) -> pb.FinishedRecord:
    key = KEY if digest else ""
    job = Job(job_id=job_id, state=JobState.Value(f"JOB_STATE_{state}"), s3_key=key, code_sha256=digest, **said)
    return pb.FinishedRecord(job_id=job_id, record=encode(job))


async def keep(stub: Any, *records: pb.FinishedRecord) -> None:
    await stub.KeepResults(pb.KeepResultsRequest(records=records))


def has(google: GcsServer, *jobs: str) -> bool:
    return {f"results/{job}.json" for job in jobs} <= google.content("box").keys()


async def test_a_success_and_its_code_are_archived(artifacts: ArtifactsProcess, google: GcsServer) -> None:
    await artifacts.start()
    async with artifacts.stub() as stub:
        code = await upload_code(stub, FUNCTION, "main.py", b"x = 1")
        records = [finished("job-1", code.code_sha256), finished("job-2", code.code_sha256, "FAILED")]
        await keep(stub, *records)
        await until(lambda: has(google, "job-1"))

        _, *chunks = [part.chunk async for part in stub.DownloadCode(pb.DownloadCodeRequest(s3_key=KEY))]

    archived = {name: content for name, content in google.content("box").items() if not name.startswith("archive/")}
    assert archived == {
        "results/job-1.json": records[0].record,
        f"code/{code.code_sha256}.zip": b"".join(chunks),
    }


@pytest.mark.parametrize("kind", ["answers with faults", "is not there"])
async def test_jobs_do_not_notice_an_outage_and_afterwards_all_is_archived(
    artifacts: ArtifactsProcess, google: GcsServer, kind: str
) -> None:
    jobs = [f"job-{n}" for n in range(150)]
    google.down = kind == "answers with faults"
    if not google.down:
        google.stop()
    await artifacts.start()
    async with artifacts.stub() as stub:
        code = await upload_code(stub, FUNCTION, "main.py", b"x = 1")
        for job in jobs:
            await keep(stub, finished(job, code.code_sha256))
        await until(lambda: any("the archive is down" in event["event"] for event in artifacts.logged))
        assert google.content("box") == {}

        google.down = False
        if kind == "is not there":
            google.start()
        await until(lambda: has(google, *jobs))

    assert f"code/{code.code_sha256}.zip" in google.content("box")
    assert len([event for event in artifacts.logged if event["level"] == "warning"]) < 10


async def test_what_was_kept_before_a_crash_is_archived_after_it(
    artifacts: ArtifactsProcess, google: GcsServer
) -> None:
    jobs = [f"job-{n}" for n in range(30)]
    google.down = True
    await artifacts.start()
    async with artifacts.stub() as stub:
        code = await upload_code(stub, FUNCTION, "main.py", b"x = 1")
        await keep(stub, *(finished(job, code.code_sha256) for job in jobs))
    await artifacts.kill()
    google.down = False

    await artifacts.start()

    await until(lambda: has(google, *jobs))
    await until(lambda: any(event["event"] == "archive reconciled" for event in artifacts.logged))


async def test_it_stops_while_the_archive_is_down_and_goes_on_when_started(
    artifacts: ArtifactsProcess, google: GcsServer
) -> None:
    google.down = True
    await artifacts.start()
    async with artifacts.stub() as stub:
        await keep(stub, finished("job-1"))
        await until(lambda: google.counts.total() > 2)
        await artifacts.stop()
    google.down = False

    await artifacts.start()

    await until(lambda: has(google, "job-1"))


async def test_faults_and_lost_answers_lose_nothing(artifacts: ArtifactsProcess, google: GcsServer) -> None:
    jobs = [f"job-{n}" for n in range(200)]
    google.flaky, google.lost_answers = 0.1, 20
    await artifacts.start()
    async with artifacts.stub() as stub:
        code = await upload_code(stub, FUNCTION, "main.py", b"x = 1")
        sent = {job: finished(job, code.code_sha256, result=b'"%d"' % n) for n, job in enumerate(jobs)}
        await keep(stub, *sent.values())
        await until(lambda: has(google, *jobs))

    content = google.content("box")
    assert all(content[f"results/{job}.json"] == sent[job].record for job in jobs)


async def test_code_that_goes_is_archived_first(artifacts: ArtifactsProcess, google: GcsServer) -> None:
    google.down = True
    await artifacts.start()
    async with artifacts.stub() as stub:
        code = await upload_code(stub, FUNCTION, "main.py", b"x = 1")
        with pytest.raises(UnavailableError, match="archived"):
            await stub.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION))
        await stub.InspectCode(pb.InspectCodeRequest(s3_key=KEY))  # still there

        google.down = False
        await stub.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION))
        await keep(stub, finished("job-late", code.code_sha256))
        await until(lambda: has(google, "job-late"))

    assert f"code/{code.code_sha256}.zip" in google.content("box")


async def test_large_code_is_not_held_in_memory(artifacts: ArtifactsProcess, google: GcsServer, tmp_path: Path) -> None:
    await artifacts.start()
    async with artifacts.stub() as stub:
        await upload_code(stub, FUNCTION, "main.py", b"x = 1")
        await stub.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION))  # so that what loads on first use is there
        path = tmp_path / "artifacts/code" / KEY
        path.parent.mkdir(parents=True)
        block, digest = os.urandom(MB), hashlib.sha256()
        with path.open("wb") as file:
            for _ in range(200):
                file.write(block)
                digest.update(block)
        before = artifacts.peak_bytes()

        await stub.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION))

    assert artifacts.peak_bytes() - before < 64 * MB
    assert hashlib.sha256(google.content("box")[f"code/{digest.hexdigest()}.zip"]).digest() == digest.digest()


async def test_results_in_s3_are_archived_to_google_by_several_processes(
    aws: MotoServer, google: GcsServer, tmp_path: Path
) -> None:
    client = boto3.client("s3", endpoint_url=aws.url, region_name=aws.env["AWS_REGION"])
    for name in ("code", "data"):
        client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.env["AWS_REGION"]}
        )  # fmt: skip
    environment = {"S3_BUCKET": "code", "S3_USER_DATA_BUCKET": "data", "GCP_BUCKET_NAME": "box", **google.env}
    async with (
        running(tmp_path / "1", environment) as one,
        running(tmp_path / "2", environment) as two,
        one.stub() as first,
        two.stub() as second,
    ):
        code = await upload_code(first, FUNCTION, "main.py", b"x = 1")
        google.down = True
        await keep(first, finished("job-1", code.code_sha256))
        await keep(second, finished("job-2", code.code_sha256))
        await one.kill()
        google.down = False
        await until(lambda: has(google, "job-2"))
        await one.start()
        await until(lambda: has(google, "job-1"))

    assert f"code/{code.code_sha256}.zip" in google.content("box")


@asynccontextmanager
async def running(folder: Path, environment: dict[str, str]) -> AsyncIterator[ArtifactsProcess]:
    process = ArtifactsProcess(folder, environment)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


async def test_without_an_archive_nothing_of_google_is_loaded(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as process, process.stub() as stub:
        await keep(stub, finished("job-1"))
        maps = await asyncio.to_thread(Path(f"/proc/{process.pid}/maps").read_text)

    assert "google_crc32c" not in maps
