"""One grid with two executors and Docker sandboxes for the whole folder; it is started as a user starts it."""

import os
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

from support.grid import Grid, running_grid


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


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Iterator[Grid]:
    folder = tmp_path_factory.mktemp("grid")
    with running_grid(folder, NANOGRID_EXECUTORS="2", NANOGRID_EXECUTOR_SANDBOX_URL=sandbox_url) as running:
        yield running
