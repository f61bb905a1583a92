"""The handler of code that nobody named one for, and the place of a source file that has a handler."""

import pytest

from nanogrid.runtimes import RUNTIMES
from services.executor.code.handlers import handler_of_folder, source_name


@pytest.mark.parametrize(
    ("runtime", "root_files", "handler"),
    [
        ("python3.11", ["main.py", "other.py"], "main.handler"),
        ("python3.11", ["a.py", "b.py"], "main.handler"),
        ("python3.11", ["hello.py", "data.json"], "hello.handler"),
        ("python3.11", [], "main.handler"),
        ("nodejs18.x", ["index.js", "lib.js"], "index.handler"),
        ("nodejs18.x", ["index.js", "main.mjs"], "main.handler"),
        ("nodejs18.x", ["hello.mjs"], "hello.handler"),
        ("cpp", ["a.cpp"], "main.cpp"),
        ("go", [], "main.go"),
    ],
)
def test_the_default_handler_of_a_folder(runtime: str, root_files: list[str], handler: str) -> None:
    assert handler_of_folder(RUNTIMES[runtime], root_files) == handler


@pytest.mark.parametrize(
    ("runtime", "handler", "name"),
    [
        ("python3.11", "", "main.py"),
        ("python3.11", "app.run", "app.py"),
        ("python3.11", "pkg/app.run", "pkg/app.py"),
        ("python3.11", "pkg.app.run", "pkg/app.py"),
        ("nodejs18.x", "index.handler", "index.js"),
        ("cpp", "main.cpp", "main.cpp"),
        ("go", "other.go", "main.go"),
        ("python3.11", "../../etc/cron.d/x.run", "etc/cron/d/x.py"),
        ("python3.11", "/a\0b\\..\\c.run", "a/b/c.py"),
        ("python3.11", "...", "main.py"),
    ],
)
def test_a_source_file_lies_where_its_handler_is_looked_for_and_never_outside(
    runtime: str, handler: str, name: str
) -> None:
    assert source_name(RUNTIMES[runtime], handler) == name
