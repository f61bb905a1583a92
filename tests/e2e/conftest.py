"""One grid a family of backends for the whole folder, with two executors and Docker sandboxes, as a user starts it.

A test marked `backends("embedded")` says nothing new about AWS, or would take it too long: the server that stands in
for it holds everything in memory and takes some 50 messages a second.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from support.aws_resources import created
from support.grid import Grid, running_grid
from support.long_call import LONG_CALL, LongCall
from support.long_call import long_call as begin_long_call
from support.moto_server import moto_server


def docker_is_there() -> bool:
    try:
        client = docker.from_env()
    except DockerException:
        return False
    try:
        return bool(client.images.list(name="nanogrid/python:3.11-fat"))
    finally:
        client.close()


@pytest.fixture(scope="session")
def sandbox_url() -> str:
    if docker_is_there():
        return "docker:"
    assert not os.environ.get("CI"), "CI needs Docker and the image nanogrid/python:3.11-fat: make setup"
    return "process:"


FAMILIES = ("embedded", "aws")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "backends(*families): the families of backends that a test needs the grid on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "grid" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("backends")
        metafunc.parametrize("grid", marked.args if marked else FAMILIES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def long_call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongCall]:
    with begin_long_call(tmp_path_factory.mktemp("long-call")) as call:
        yield call


@pytest.fixture(scope="session", autouse=True)
def _begun_early(request: pytest.FixtureRequest) -> None:
    """Without other workers, begin the long call before all tests that can run meanwhile."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    if alone and any(item.name == LONG_CALL for item in request.session.items):
        request.getfixturevalue("long_call")


@pytest.fixture(scope="session")
def grid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Iterator[Grid]:
    folder = tmp_path_factory.mktemp(f"grid-{request.param}")
    settings = {"NANOGRID_EXECUTORS": "2", "NANOGRID_EXECUTOR_SANDBOX_URL": sandbox_url}
    with backends(request.param, folder) as env, running_grid(folder, **settings, **env) as running:
        yield running


@contextmanager
def backends(family: str, folder: Path) -> Iterator[dict[str, str]]:
    """The environment that chooses a family, for as long as its servers run."""
    if family == "embedded":
        yield {}
        return
    with moto_server(folder) as aws:
        # SQS does not know that a receiver died, only that it was silent.
        yield aws.env | created(aws.env) | {"NANOGRID_EXECUTOR_VISIBILITY_S": "6"}
