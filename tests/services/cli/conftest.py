"""A grid's REST as a stand-in, and the command run in this process."""

import os
from functools import partial

import pytest

from support.command_line import run_command
from support.http_api import http_api


@pytest.fixture
def api(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("NANOGRID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with http_api() as server:
        monkeypatch.setenv("NANOGRID_URL", server.url)
        yield server


@pytest.fixture
def nanogrid(monkeypatch, capsys):
    """Runs the command in this process: (exit code, stdout, stderr)."""
    return partial(run_command, monkeypatch, capsys)
