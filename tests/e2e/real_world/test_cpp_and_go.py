"""C++ and Go as people bring them: from newer compilers, Macs and Windows, and with their mistakes."""

import io
import zipfile
from typing import Any

import pytest

from support.grid import Grid
from support.programs import CPP, GO, require

pytestmark = pytest.mark.backends("embedded")  # a language is the executor's affair, and a build takes seconds

BOM = "\ufeff"


@pytest.fixture(autouse=True)
def docker_sandboxes(sandbox_url: str) -> None:
    if sandbox_url != "docker:":
        pytest.skip("compiled functions are built and run in docker: sandboxes only")
    require(CPP)
    require(GO)


def packed(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return archive.getvalue()


def refused_build(grid: Grid, runtime: str, files: dict[str, str]) -> str:
    job = grid.run(grid.upload(packed(files), "code.zip", runtime=runtime))
    assert (job["status"], job["error"]["type"]) == ("failed", "BuildError"), job
    return str(job["error"]["message"]).removeprefix("the code cannot be built: ")


def test_a_module_of_a_current_go_is_built_under_the_handler_that_clients_send_for_everything(grid: Grid) -> None:
    main = """package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
)

func main() {
	var event struct{ Numbers []int }
	_ = json.NewDecoder(os.Stdin).Decode(&event)
	slices.Sort(event.Numbers)
	slog.Info("sorted", "count", len(event.Numbers))
	for i := range 2 {
		event.Numbers = append(event.Numbers, max(i, 10))
	}
	out, _ := json.MarshalIndent(event.Numbers, "", "  ")
	fmt.Println(string(out))
}
"""
    module = BOM + "module example.com/app\r\n\r\ngo 1.22.3\r\n\r\ntoolchain go1.23.1\r\n"
    files = {"main.go": BOM + main.replace("\n", "\r\n"), "go.mod": module, "main_test.go": "package main\n"}
    function_id = grid.upload(packed(files), "code.zip", runtime="go", handler="main.handler")

    job = grid.run(function_id, {"Numbers": [3, 1, 2]})

    assert job["result"] == [1, 2, 3, 10, 10], job
    assert "sorted count=3" in job["stderr"]
    assert grid.http.get(f"/functions/{function_id}").json()["handler"] == "main.go"


def test_a_go_file_is_run_whatever_go_thinks_of_its_name(grid: Grid) -> None:
    code = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(`"hello"`) }\n'

    assert grid.run(grid.upload(code, "hello_arm64.go", runtime="go"))["result"] == "hello"


def test_go_code_that_is_no_program_is_told_so(grid: Grid) -> None:
    library = {"go.mod": "module x\n\ngo 1.24\n", "lib.go": "package lib\n\nfunc Handler() {}\n"}
    future = {"main.go": "package main\n\nfunc main() { future() }\n", "go.mod": "module x\n\ngo 1.99\n"}

    assert refused_build(grid, "go", library) == (
        "the package at the root of the code is lib, not main; a program has `package main` and `func main()`"
    )
    assert "undefined: future; go.mod asks for Go 1.99, and this grid builds with Go" in refused_build(
        grid, "go", future
    )


def test_a_zip_from_a_mac_is_built_without_what_macos_put_there(grid: Grid) -> None:
    junk = "\x00\x05\x16\x07Mac OS X"
    files = {
        "main.cpp": BOM + '#include "src/word.h"\r\n#include <cstdio>\r\nint main() { puts(word()); }\r\n',
        "src/word.h": BOM + "#pragma once\r\nconst char *word();\r\n",
        "src/word.cpp": '#include "src/word.h"\nconst char *word() { return "\\"안녕\\""; }\n',
        "__MACOSX/._main.cpp": junk,
        "__MACOSX/src/._word.cpp": junk,
        "src/._word.cpp": junk,
        ".vscode/old.cpp": "int main() {}",
    }
    function_id = grid.upload(packed(files), "code.zip", runtime="cpp", handler="main.handler")

    assert grid.run(function_id)["result"] == "안녕"
    assert grid.http.get(f"/functions/{function_id}").json()["handler"] == "main.cpp"


def test_what_the_linker_found_is_the_message(grid: Grid) -> None:
    twice = {"a.cpp": "int main() {}\n", "tests/b.cpp": "int main() {}\n"}
    missing = {"main.cpp": "int f();\nint main() { return f(); }\n"}

    assert refused_build(grid, "cpp", twice) == (
        "tests/b.cpp: multiple definition of `main'; a.cpp: first defined here; "
        "every .cpp file of the code is part of one program, which has one main()"
    )
    assert refused_build(grid, "cpp", missing) == "main.cpp: undefined reference to `f()'"


ENDS = r"""
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

int main() {
    auto event = nlohmann::json::parse(std::cin);
    std::string how = event["how"];
    if (how == "return") return event["code"];
    if (how == "exit") exit(event["code"]);
    if (how == "abort") abort();
    if (how == "throw") throw std::runtime_error("no such colour");
    if (how == "segfault") raise(SIGSEGV);
    if (how == "print") std::cout << event["text"].get<std::string>();
    if (how == "nan") std::cout << std::numeric_limits<double>::quiet_NaN() << std::endl;
    if (how == "pretty") std::cout << "done:\n" << event["value"].dump(2) << std::endl;
}
"""


@pytest.fixture(scope="module")
def ends() -> dict[str, str]:
    return {}


@pytest.fixture
def run(grid: Grid, ends: dict[str, str]) -> Any:
    function_id = ends.setdefault(grid.url, "") or grid.upload(ENDS, "ends.cpp", runtime="cpp")
    ends[grid.url] = function_id
    return lambda **event: grid.run(function_id, event)


@pytest.mark.parametrize(
    ("event", "code", "sentence"),
    [
        ({"how": "return", "code": -1}, 255, "exited with status 255"),
        ({"how": "exit", "code": 200}, 200, "exited with status 200"),
        ({"how": "exit", "code": 137}, 137, "exited with status 137"),
        ({"how": "abort"}, 134, "was killed by SIGABRT (status 134)"),
        ({"how": "throw"}, 134, "was killed by SIGABRT (status 134)"),
        ({"how": "segfault"}, 139, "was killed by SIGSEGV (status 139)"),
    ],
    ids=["return -1", "exit 200", "exit 137", "abort", "throw", "segfault"],
)
def test_an_exit_status_and_a_signal_are_told_apart(run: Any, event: dict[str, Any], code: int, sentence: str) -> None:
    job = run(**event)

    assert (job["status"], job["exit_code"]) == ("failed", code)
    assert job["error"]["type"] == "ExitError"
    assert job["error"]["message"] == f"the function's process {sentence}"


def test_what_a_program_prints_last_is_its_result_to_the_byte_or_an_error_that_says_why(grid: Grid, run: Any) -> None:
    pretty = run(how="pretty", value={"a": [1, {"b": None}]})
    nan = run(how="nan")
    log = run(how="print", text="[INFO] done")

    assert pretty["result"] == {"a": [1, {"b": None}]}
    assert (nan["status"], nan["error"]["type"]) == ("failed", "ResultInvalid")
    assert "no NaN" in nan["error"]["message"]
    assert (log["status"], log["result"]) == ("completed", None)
    assert grid.http.get(f"/status/{pretty['job_id']}").json()["result"] == pretty["result"]
