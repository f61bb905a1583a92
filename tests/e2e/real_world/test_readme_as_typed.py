"""The README's commands, typed one after the other as they stand there, print what the README says."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from nanogrid.cli.session import DEFAULT_URL
from support.grid import Grid
from support.readme import ROOT, consoles
from support.waiting import WATCHDOG_S

pytestmark = pytest.mark.backends("embedded")  # the same on every family

# Of a newcomer's shell: the ids that earlier commands printed stand in later ones as `0b6f…` and `job-…`.
ID, JOB = re.compile(r"0b6f…"), re.compile(r"job-…")


class Shell:
    """Types commands in a folder with the examples, on a grid that stands in for the one of `make up`."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self._grid = grid
        self._folder = folder
        self._ids = {ID: "", JOB: ""}
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "nanogrid").write_text(
            f'#!/bin/sh\nexec {sys.executable} -c "from nanogrid.cli import main; main()" "$@"\n'
        )
        (folder / "nanogrid").chmod(0o755)
        self._env = {
            "PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
            "NANOGRID_URL": grid.url,
            "NANOGRID_DATA_DIR": str(grid.folder),
        }

    def type(self, command: str) -> str:
        """Run a command with the grid's address and known ids, keep the ids that it prints, return its output."""
        typed = command.replace(DEFAULT_URL, self._grid.url)
        for pattern, known in self._ids.items():
            typed = pattern.sub(known, typed)
        done = subprocess.run(
            ["bash", "-c", typed], cwd=self._folder, env=self._env, capture_output=True, text=True,
            timeout=WATCHDOG_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (typed, done.stdout, done.stderr)
        for pattern, id_of in ((ID, r'"function_id": ?"([0-9a-f-]{36})"'), (JOB, r"job-[0-9a-f-]{36}")):
            if found := re.findall(id_of, done.stdout):
                self._ids[pattern] = found[-1]
        return done.stdout


@pytest.fixture(scope="module")
def shell(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    stored = grid.folder / "artifacts/code/functions/hello-python/v1.zip"  # what already lies in the code bucket
    stored.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(stored, "w") as archive:
        archive.write(ROOT / "examples/hello/main.py", "main.py")
    return Shell(grid, tmp_path_factory.mktemp("newcomer"))


def said(printed: str) -> dict[str, Any]:
    """Return the fields of an answer that the README prints in part."""
    told = re.sub(r",…\}", "}", printed)
    found: dict[str, Any] = json.loads(told)
    return {name: value for name, value in found.items() if "…" not in str(value) and not isinstance(value, float)}


def is_for_the_machine(command: str) -> bool:
    return command.startswith("make ")


STEPS = [step for console in consoles("README.md") for step in console if not is_for_the_machine(step[0])]


def test_every_command_does_what_it_says_after_those_before_it(shell: Shell) -> None:
    for command, printed in STEPS:
        output = shell.type(command)

        if printed.startswith("{"):
            answer = json.loads(output)
            assert {name: answer.get(name) for name in said(printed)} == said(printed), command
            assert set(re.findall(r'"(\w+)":', printed)) <= set(re.findall(r'"(\w+)":', output)), command


def test_make_up_prints_what_it_says(shell: Shell, sandbox_url: str) -> None:
    [told] = [printed for console in consoles("README.md") for command, printed in console if command == "make up"]

    lines = dict(line.split(": ", 1) for line in shell.type("nanogrid up").splitlines() if ": " in line)

    named = dict(line.split(": ", 1) for line in told.splitlines())
    assert list(lines) == list(named)
    assert sandbox_url == "process:" or lines["sandbox"] == named["sandbox"]
    assert sandbox_url == "process:" or set(named["runtimes"].split()) <= set(lines["runtimes"].split())


def test_the_pages_that_it_leads_to_are_there(grid: Grid) -> None:
    assert grid.http.get("/docs").headers["content-type"].startswith("text/html")
