"""Folders as npm and pnpm leave them, uploaded from the command line: they run as they did at home."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.grid import Grid
from support.terminal import Terminal, terminal

pytestmark = pytest.mark.backends("embedded")  # what is uploaded is the same on every family

HANDLER = """
const { execFileSync } = require('node:child_process');
exports.handler = async (event) => ({
  direct: require('outer')(event.n),
  byProgram: execFileSync('/code/node_modules/.bin/outer', ['5']).toString(),
  secret: require('node:fs').existsSync('/code/.env'),
});
"""
OUTER = "module.exports = (n) => require('inner')(n) + require('./one');\n"
PACKAGE = {
    "index.js": OUTER,
    "one.js": "module.exports = 1;\n",
    "cli.js": "#!/usr/bin/env node\nprocess.stdout.write(`${require('.')(+process.argv[2])}`);\n",
}
INNER = "module.exports = (n) => n * 2;\n"


@pytest.fixture
def shell(grid: Grid, tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path, NANOGRID_URL=grid.url) as opened:
        yield opened


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755 if text.startswith("#!") else 0o644)


def uploaded_and_run(shell: Terminal) -> None:
    write(shell.folder / "app", {"main.js": HANDLER, ".env": "SECRET=1", ".DS_Store": "", "package.json": "{}"})

    sent = shell.nanogrid("upload", "app")
    done = shell.nanogrid("run", sent.stdout.strip(), '{"n": 3}')

    assert "left out: .DS_Store, .env" in sent.stderr
    assert json.loads(done.stdout) == {"direct": 7, "byProgram": "11", "secret": False}, done.stderr


def test_a_folder_of_npm_with_its_programs(shell: Terminal) -> None:
    modules = shell.folder / "app" / "node_modules"
    write(modules / "outer", PACKAGE)
    write(modules / "inner", {"index.js": INNER})
    (modules / ".bin").mkdir()
    (modules / ".bin" / "outer").symlink_to("../outer/cli.js")

    uploaded_and_run(shell)


def test_a_folder_of_pnpm_whose_packages_are_links_into_a_store(shell: Terminal) -> None:
    modules = shell.folder / "app" / "node_modules"
    store = modules / ".pnpm"
    write(store / "outer@1.0.0/node_modules/outer", PACKAGE)
    write(store / "inner@2.0.0/node_modules/inner", {"index.js": INNER})
    (store / "outer@1.0.0/node_modules/inner").symlink_to("../../inner@2.0.0/node_modules/inner")
    (modules / "outer").symlink_to(".pnpm/outer@1.0.0/node_modules/outer")
    start = '#!/bin/sh\nbasedir=$(dirname "$0")\nexec node "$basedir/../outer/cli.js" "$@"\n'  # as pnpm writes it
    write(modules / ".bin", {"outer": start})

    uploaded_and_run(shell)


def test_a_link_that_leaves_the_folder_is_refused_by_name(shell: Terminal) -> None:
    write(shell.folder / "app", {"main.py": "def handler(event, context): pass\n"})
    (shell.folder / "app" / "passwords.txt").symlink_to("/etc/passwd")

    done = shell.nanogrid("upload", "app")

    assert done.returncode == 2
    assert "passwords.txt is a link that leaves the folder, to /etc/passwd; put the file itself there" in done.stderr
