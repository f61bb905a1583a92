"""Fixtures of the contract suites."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from nanogrid.jobs import JobStore, open_jobs
from nanogrid.runtimes import Runtime
from support.aws_resources import made_tables
from support.blobs import BUCKET, s3
from support.gcs_server import gcs_server
from support.moto_server import REGION, MotoServer
from support.sandboxes import NODE, PYTHON, Bench, OpenBench, here, open_bench


@pytest.fixture(params=["redis"])
async def jobs(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[JobStore]:
    """An empty job store of every kind."""
    async with open_jobs({"redis": redis_url}[request.param]) as store:
        yield store


@pytest.fixture(params=["docker:", "process:"])
def sandbox_url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[PYTHON, NODE], ids=lambda runtime: runtime.language)
def runtime(request: pytest.FixtureRequest, sandbox_url: str) -> Runtime:
    return here(sandbox_url, request.param)


@pytest.fixture
def opened(sandbox_url: str, runtime: Runtime, tmp_path: Path) -> OpenBench:
    """Opens a bench of every kind and language with settings of the test's own."""

    def open_with(**settings: Any) -> AbstractAsyncContextManager[Bench]:
        return open_bench(sandbox_url, tmp_path, runtime, **settings)

    return open_with


@pytest.fixture
async def bench(opened: OpenBench) -> AsyncIterator[Bench]:
    async with opened() as bench:
        yield bench


@pytest.fixture
async def python_bench(sandbox_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(sandbox_url, tmp_path) as bench:
        yield bench


@pytest.fixture
async def script_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Python in the sandboxes that start fastest, for tests of the language's own affairs."""
    async with open_bench("process:", tmp_path) as bench:
        yield bench


@pytest.fixture
async def node_bench(sandbox_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(sandbox_url, tmp_path, here(sandbox_url, NODE)) as bench:
        yield bench


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench("docker:", tmp_path) as bench:
        yield bench


@pytest.fixture(params=["sqlite", "dynamodb"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of functions and keys."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/deep/folder/registry.db"
    request.getfixturevalue("aws")
    return made_tables()


@pytest.fixture(params=["file", "s3", "gs"])
def blobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty object store of every kind."""
    if request.param == "file":
        return (tmp_path / "the store").as_uri()
    return str(request.getfixturevalue({"s3": "bucket", "gs": "gs_bucket"}[request.param]))


@pytest.fixture
def bucket(aws: MotoServer) -> str:
    """The URL of an empty bucket on S3."""
    s3(aws).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return f"s3://{BUCKET}"


@pytest.fixture
def gs_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket on Google Cloud Storage."""
    with gcs_server(BUCKET) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield f"gs://{BUCKET}"
