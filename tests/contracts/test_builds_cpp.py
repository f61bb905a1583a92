"""Building C++: which files are a program, and what its author is told when they are none."""

from pathlib import Path

import pytest

from support.programs import CPP, Builder, Kept, require
from support.sandboxes import Bench

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def builder(docker_bench: Bench, tmp_path: Path) -> Builder:
    require(CPP)
    return Builder(docker_bench, tmp_path, Kept())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main.cpp": "int main() { return nowhere; }\n"}, "main.cpp:1:21: error: "),
        ({"main.cpp": '#include "nowhere.h"\n'}, "main.cpp:1:10: fatal error: nowhere.h: No such file or directory"),
        (
            {"main.cpp": "#include <vector>\nstruct A { A(int); };\nint main() { std::vector<A> all(2); }\n"},
            "error: ",  # and not the first of the lines that only tell the way there
        ),
        ({"main.cpp": 'int main() { asm("frobnicate"); }\n'}, "main.cpp:1: Error: no such instruction"),
        (
            {"main.cpp": "int f(); int main() { return f(); }\n"},
            "main.cpp: undefined reference to `f()'",
        ),
        (
            {"src/a.cpp": "int main() {}\n", "src/b c.cpp": "int main() {}\n"},
            (
                "src/b c.cpp: multiple definition of `main'; src/a.cpp: first defined here; "
                "every .cpp file of the code is part of one program, which has one main()"
            ),
        ),
        ({"a.cpp": "int x;\nint main() {}\n", "b.cpp": "int x;\n"}, "b.cpp: multiple definition of `x'; a.cpp: first"),
        (
            {"lib.cpp": "int f() { return 1; }\n"},
            "undefined reference to `main'; no .cpp file of the code has a main()",
        ),
        ({"readme.txt": "x"}, "the code has no .cpp file"),
        ({"src/main.cc": "int main() {}\n"}, "the code has no .cpp file; src/main.cc is not built: rename it to .cpp"),
        ({"main.cpp": "int main() {}\n".encode("utf-16")}, "; main.cpp is UTF-16: save it as UTF-8"),
    ],
    ids=["undeclared", "header", "template", "asm", "undefined", "mains", "twice", "no main", "none", "cc", "utf-16"],
)
async def test_the_reason_is_the_message(builder: Builder, files: dict[str, str | bytes], message: str) -> None:
    error = await builder.failure(CPP, files)

    assert error.message.startswith("the code cannot be built: ")
    assert message in error.message
    assert "ld returned" not in error.message
    assert "required from" not in error.message


async def test_a_linkers_reason_is_found_behind_any_number_of_warnings(builder: Builder) -> None:
    noisy = "".join(f"#warning {'x' * 100} {number}\n" for number in range(2_000))

    error = await builder.failure(CPP, {"main.cpp": noisy + "int f(); int main() { return f(); }\n"})

    assert error.message == "the code cannot be built: main.cpp: undefined reference to `f()'"


async def test_a_project_is_every_cpp_file_of_the_tree_but_what_other_systems_leave_there(builder: Builder) -> None:
    files: dict[str, str | bytes] = {
        "main.cpp": '#include "lib/greet.h"\n#include <iostream>\nint main() { std::cout << greet() << std::endl; }\n',
        "lib/greet.h": "#include <string>\nstd::string greet();\n",
        "lib/greet.cpp": '#include "lib/greet.h"\nstd::string greet() { return "안녕"; }\n',
        "lib/sub dir/$(touch x) 'quoted'.cpp": "int unused() { return 1; }\n",
        "lib/UPPER.CPP": "int upper() { return 1; }\n",
        "-x.cpp": "int dashed() { return 1; }\n",
    }
    junk = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"
    for name in ("__MACOSX/._main.cpp", "lib/__MACOSX/greet.cpp", "._main.cpp", "lib/._greet.cpp", "lib/.old/a.cpp"):
        files[name] = junk

    assert await builder.printed(CPP, files) == "안녕\n"


async def test_sources_with_byte_order_marks_and_windows_line_ends_are_built(builder: Builder) -> None:
    files: dict[str, str | bytes] = {
        "main.cpp": BOM + b'#include "a.h"\r\n#include <cstdio>\r\nint main() {\r\n  puts(WORD);\r\n}\r\n',
        "a.h": BOM + b'#pragma once\r\n#define WORD \\\r\n  "made"\r\n',
    }

    assert await builder.printed(CPP, files) == "made\n"
