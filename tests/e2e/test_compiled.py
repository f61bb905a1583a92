"""C++ and Go functions as users upload and call them."""

import io
import zipfile
from pathlib import Path

import pytest

from support.grid import Grid
from support.programs import CPP, GO, require

EXAMPLES = Path(__file__).parents[2] / "examples"


pytestmark = pytest.mark.backends("embedded")  # a language is the executor's affair, and a build takes seconds


@pytest.fixture(autouse=True)
def docker_sandboxes(sandbox_url: str) -> None:
    if sandbox_url != "docker:":
        pytest.skip("compiled functions are built and run in docker: sandboxes only")
    require(CPP)
    require(GO)


@pytest.mark.parametrize(("runtime", "name"), [("cpp", "main.cpp"), ("go", "main.go")])
def test_hello(grid: Grid, runtime: str, name: str) -> None:
    function_id = grid.upload((EXAMPLES / f"hello-{runtime}" / name).read_bytes(), name, runtime=runtime)

    jobs = [grid.run(function_id, {"name": "안녕"}) for _ in range(10)]

    assert [job["result"] for job in jobs] == [{"statusCode": 200, "body": "Hello, 안녕!"}] * 10
    assert {job["exit_code"] for job in jobs} == {0}
    assert sum(job["cold_start"] for job in jobs) <= 2
    assert grid.http.get(f"/functions/{function_id}").json()["handler"] == name


def test_a_project_folder_with_output_and_an_exit_code(grid: Grid) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("src/main.cpp", '#include "src/tool.h"\nint main() { return leave("/output/인사.txt"); }\n')
        archive.writestr("src/tool.cpp", '#include "src/tool.h"\nint leave(const char *path) { return tool(path); }\n')
        archive.writestr(
            "src/tool.h",
            "#pragma once\n#include <fstream>\nint leave(const char *path);\n"
            'inline int tool(const char *path) { std::ofstream(path) << "안녕"; return 7; }\n',
        )
    function_id = grid.upload(packed.getvalue(), "code.zip", runtime="cpp")

    job = grid.run(function_id)

    assert (job["status"], job["error"]["type"], job["exit_code"]) == ("failed", "ExitError", 7)
    [url] = job["output_files"]
    assert grid.http.get(url).text == "안녕"


def test_code_that_does_not_compile_says_where(grid: Grid) -> None:
    function_id = grid.upload("package main\n\nfunc main() { nowhere() }\n", "main.go", runtime="go")

    jobs = [grid.run(function_id) for _ in range(3)]

    for job in jobs:
        assert (job["status"], job["error"]["type"]) == ("failed", "BuildError")
        assert job["error"]["message"] == "the code cannot be built: main.go:3:15: undefined: nowhere"
        assert "nowhere" in job["error"]["stack"]
