"""Building Go: modules of any Go, the files that are meant, and what their author is told when they are no program."""

from pathlib import Path

import pytest

from support.programs import GO, Builder, Kept, require
from support.sandboxes import Bench

BOM = b"\xef\xbb\xbf"
HELLO = 'package main\n\nfunc main() { println("hello") }\n'
VENDORED = {
    "main.go": 'package main\n\nimport "example.com/dep"\n\nfunc main() { println(dep.Word) }\n',
    "vendor/example.com/dep/dep.go": 'package dep\n\nconst Word = "안녕"\n',
}


@pytest.fixture
def builder(docker_bench: Bench, tmp_path: Path) -> Builder:
    require(GO)
    return Builder(docker_bench, tmp_path, Kept())


@pytest.mark.parametrize(
    "module",
    [
        b"module x\n",
        b"module x\n\ngo 1.12\n",
        b"module x\n\ngo 1.22.3\n",
        b"module x\n\ngo 1.24\n\ntoolchain go1.23.1\n",
        b"module x\r\n\r\ngo 1.99.1 // why not\r\n\r\ntoolchain default\r\n",
        b"module x\n\ngo 1.99rc1\n\ngodebug (\n\tdefault=go1.99\n\tpanicnil=1\n)\n\nignore (\n\t./web\n)\n",
        b"module x\n\ngo 1.21\n\ngodebug default=go1.99\n\nignore ./web\n",
        BOM + b"module x\n\ngo 1.21\n",
    ],
    ids=["none", "1.12", "1.22.3", "toolchain", "1.99", "1.99rc1", "1.21", "bom"],
)
async def test_a_module_of_any_go_is_built_whenever_its_code_can_be(builder: Builder, module: bytes) -> None:
    assert await builder.printed(GO, {"go.mod": module, "main.go": BOM + HELLO.encode()}) == "hello\n"


async def test_code_that_needs_a_newer_go_fails_with_what_its_module_asked_for(builder: Builder) -> None:
    files = {"go.mod": "module x\n\ngo 1.99\n", "main.go": "package main\n\nfunc main() { future() }\n"}

    error = await builder.failure(GO, files)

    assert error.message.startswith(
        "the code cannot be built: main.go:3:15: undefined: future; go.mod asks for Go 1.99, and this grid builds with "
    )


async def test_vendored_modules_of_any_go_are_built_with_what_they_embed(builder: Builder) -> None:
    newer: dict[str, str | bytes] = VENDORED | {
        "go.mod": "module x\n\ngo 1.99\n\nrequire example.com/dep v1.0.0\n",
        "main.go": 'package main\n\nimport (\n\t_ "embed"\n\n\t"example.com/dep"\n\t"x/sub"\n)\n\n//go:embed a.txt\n'
        "var text string\n\nfunc main() { println(dep.Word, text, sub.Count()) }\n",
        "a.txt": "embedded",
        "sub/sub.go": 'package sub\n\nimport "embed"\n\n//go:embed all:data\nvar files embed.FS\n\n'
        'func Count() int { all, _ := files.ReadDir("data"); return len(all) }\n',
        "sub/data/.hidden": "",
        "sub/data/b c": "",
        "vendor/modules.txt": BOM + b"# example.com/dep v1.0.0\r\n## explicit; go 1.99.1\r\nexample.com/dep\r\n",
    }

    assert await builder.printed(GO, newer) == "안녕 embedded 2\n"


async def test_a_module_brings_its_dependencies(builder: Builder) -> None:
    files = VENDORED | {
        "go.mod": "module example.com/app\n\ngo 1.19\n\nrequire example.com/dep v1.0.0\n",
        "vendor/modules.txt": "# example.com/dep v1.0.0\n## explicit; go 1.19\nexample.com/dep\n",
    }

    assert await builder.printed(GO, files) == "안녕\n"


async def test_local_modules_of_any_go_are_found_by_workspace_and_replacement(builder: Builder) -> None:
    main = 'package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Word) }\n'
    library = {"lib/lib.go": 'package lib\n\nconst Word = "lib"\n', "lib/go.mod": "module example.com/lib\n\ngo 1.99\n"}
    replacing = "module x\n\ngo 1.99\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ./lib\n"
    workspace = library | {
        "main.go": main,
        "go.mod": "module x\n\ngo 1.22\n",
        "go.work": "go 1.99\n\nuse .\nuse ./lib\n",
    }

    assert await builder.printed(GO, library | {"main.go": main, "go.mod": replacing}) == "lib\n"
    assert await builder.printed(GO, workspace) == "lib\n"
    assert await builder.printed(GO, {"main.go": HELLO, "go.work": "go 1.22\n\nuse ./gone\n"}) == "hello\n"


async def test_files_without_a_module_are_given_one_with_their_folders(builder: Builder) -> None:
    files = {
        "main.go": 'package main\n\nimport "function/greet"\n\nfunc main() { println(greet.Word, other()) }\n',
        "other.go": "package main\n\nfunc other() int { return 7 }\n",
        "other_test.go": "package main\n\nnot go\n",
        "greet/greet.go": 'package greet\n\nconst Word = "안녕"\n',
    }

    assert await builder.printed(GO, files) == "안녕 7\n"


@pytest.mark.parametrize("name", ["x_arm64.go", "my_app_test.go", "x_windows.go", "_x.go", ".x.go", "my_app.go"])
async def test_the_only_file_is_meant_whatever_go_thinks_of_its_name(builder: Builder, name: str) -> None:
    assert await builder.printed(GO, {name: HELLO, "data.txt": "x"}) == "hello\n"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main.go": "package main\nfunc main() { nowhere() }\n"}, "main.go:2:15: undefined: nowhere"),
        ({"x_test.go": "package main\nfunc main() { nowhere() }\n"}, "x_test.go:2:15: undefined: nowhere"),
        (
            {"main.go": 'package main\nimport "example.com/x"\nfunc main() {}\n'},
            (
                "main.go:2:8: no required module provides package example.com/x; to add it: go get example.com/x; "
                "there is no network in a build: put dependencies into the zip with `go mod vendor`"
            ),
        ),
        (
            {"main.go": "package hello\n\nfunc Hello() {}\n"},
            "the package at the root of the code is hello, not main; a program has `package main` and `func main()`",
        ),
        (
            {"hello_test.go": "package hello\n\nfunc TestHello() {}\n"},
            "the package at the root of the code is hello, not main; a program has `package main` and `func main()`",
        ),
        ({"main.go": "package main\n"}, "function main is undeclared in the main package"),
        ({"main.go": HELLO, "other.go": "package other\n"}, "found packages main (main.go) and other (other.go)"),
        ({"readme.txt": "x"}, "there are no Go files at the root of the code"),
        (
            {"go.mod": "module x\n", "cmd/app/main.go": HELLO},
            (
                "there are no Go files at the root of the code; cmd/app/main.go is of package main: "
                "put its folder at the root, or zip from inside it"
            ),
        ),
        (
            {"main.go": 'package main\nimport "C"\nfunc main() {}\n'},
            'build constraints exclude all Go files; `import "C"` cannot be used: there is no cgo in a build',
        ),
        ({"a_windows.go": HELLO, "b_windows.go": "package main\n"}, "build constraints exclude all Go files"),
        ({"main.go": HELLO, "go.mod": "module x\n\ngo forward\n"}, "go.mod:3: invalid go version 'forward'"),
        (
            VENDORED
            | {
                "go.mod": "module x\n\ngo 1.22\n\nrequire example.com/dep v1.0.0\n",
                "vendor/modules.txt": "# example.com/dep v1.1.0\n## explicit\nexample.com/dep\n",
            },
            "go: inconsistent vendoring: example.com/dep@v1.0.0: is explicitly required in go.mod",
        ),
    ],
    ids=[
        *("undefined", "single", "dependency", "library", "test", "no main", "two packages", "none", "deep", "cgo"),
        *("windows", "go.mod", "vendor"),
    ],
)
async def test_the_reason_is_the_message(builder: Builder, files: dict[str, str | bytes], message: str) -> None:
    error = await builder.failure(GO, files)

    assert error.message.startswith("the code cannot be built: ")
    assert message in error.message
    assert error.stack
