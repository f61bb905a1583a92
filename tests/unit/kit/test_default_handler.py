"""The handler of an upload that names none."""

import pytest

from gateway.rest.options import check_fits, default_handler
from nanogrid.errors import InvalidFieldError
from nanogrid.runtimes import RUNTIMES


@pytest.mark.parametrize(
    ("runtime", "filename", "root_files", "handler"),
    [
        ("python3.11", "hello.py", ["hello.py"], "hello.handler"),
        ("python3.11", "code.zip", ["a.py"], "main.handler"),
        ("nodejs18.x", "code.zip", ["index.js"], "index.handler"),
        ("nodejs18.x", "code.zip", ["index.js", "main.js"], "main.handler"),
        ("cpp", "hello.cpp", ["hello.cpp"], "hello.cpp"),
        ("cpp", "code.ZIP", ["a.cpp"], "main.cpp"),
        ("go", "main.go", ["main.go"], "main.go"),
        ("go", "functions/x/code.zip", [], "main.go"),
    ],
)
def test_the_default_handler(runtime: str, filename: str, root_files: list[str], handler: str):
    assert default_handler(RUNTIMES[runtime], filename, root_files) == handler


def test_a_source_file_of_another_language_is_refused():
    with pytest.raises(InvalidFieldError, match=r"send \.cpp, \.zip"):
        check_fits(".go", RUNTIMES["cpp"])
