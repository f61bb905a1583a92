"""Fixtures of the contract suites."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from nanogrid.runtimes import Runtime
from support.sandboxes import NODE, PYTHON, Bench, OpenBench, here, open_bench


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
async def node_bench(sandbox_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(sandbox_url, tmp_path, here(sandbox_url, NODE)) as bench:
        yield bench


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench("docker:", tmp_path) as bench:
        yield bench
