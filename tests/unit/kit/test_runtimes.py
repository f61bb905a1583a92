"""The table of runtimes: which one a user meant, what stands in for it, and how its handlers are written."""

from pathlib import Path

import pytest

from nanogrid.errors import RuntimeNotSupportedError
from nanogrid.runtimes import ALIASES, RUNTIMES, alias_of_suffix, resolve

IMAGES = Path(__file__).parents[3] / "deploy" / "images"
BUILT_BY_SETUP = frozenset({"python3.11", "nodejs18.x", "cpp", "go"})


@pytest.mark.parametrize(
    ("asked", "offered", "served"),
    [
        ("python3.11", {"python3.11", "python3.13"}, "python3.11"),
        ("python", {"python3.9", "python3.13"}, "python3.13"),
        ("python", {"python3.11", "python3.13"}, "python3.11"),
        ("nodejs", {"nodejs18.x", "nodejs20.x"}, "nodejs20.x"),
        ("python3.9", set(), "python3.9"),
        ("python3.9", {"a runtime of a newer executor"}, "python3.9"),
    ],
)
def test_a_name_means_what_it_says_and_an_alias_the_best_that_is_offered(asked: str, offered: set[str], served: str):
    assert resolve(asked, frozenset(offered)).name == served


@pytest.mark.parametrize(
    ("asked", "offered", "served"),
    [
        ("python3.9", {"python3.11", "nodejs18.x"}, "python3.11"),
        ("python3.9", {"python3.13", "python3.11"}, "python3.11"),
        ("python3.13", {"python3.9", "python3.11"}, "python3.11"),
        ("python3.10", {"python3.9", "python3.13"}, "python3.13"),
        ("python3.9", {"python3.9", "python3.10"}, "python3.9"),
        ("nodejs22.x", {"nodejs18.x"}, "nodejs18.x"),
        ("nodejs18.x", {"nodejs20.x", "nodejs22.x", "python3.11"}, "nodejs20.x"),
    ],
)
def test_the_next_newer_version_stands_in_else_the_newest_older_one(asked: str, offered: set[str], served: str):
    assert resolve(asked, frozenset(offered), stand_ins=True).name == served


@pytest.mark.parametrize("asked", ["python3.9", "nodejs18.x", "go"])
def test_nothing_stands_in_across_languages(asked: str):
    with pytest.raises(RuntimeNotSupportedError, match="make images"):
        resolve(asked, frozenset({"cpp"}), stand_ins=True)


def test_a_version_that_is_not_built_is_refused_with_what_is_offered_and_both_cures():
    with pytest.raises(RuntimeNotSupportedError) as refused:
        resolve("python3.9", BUILT_BY_SETUP)

    assert refused.value.message == (
        "runtime: 'python3.9' is not offered here; available: python3.11, nodejs18.x, cpp, go. Build it with "
        "`make images`, or set NANOGRID_RUNTIME_STAND_INS=on to have python3.11 serve it"
    )


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("python3", "python"),
        ("Python3.11", "python3.11"),
        ("node18", "nodejs18.x"),
        ("nodejs18", "nodejs18.x"),
        ("node", "nodejs"),
        *(("py", "python"), ("py3", "python"), ("py3.11", "python3.11"), ("PYTHON", "python"), ("python2.7", "python")),
        *(("python3.11.2", "python3.11"), ("python-3.11", "python3.11"), ("python:3.9", "python3.9")),
        *(("Python 3.13", "python3.13"), ("python311", "python3.11"), ("python3.1", "python"), ("pyton", "python")),
        *(("pyhton3.11", "python3.11"), ("nodejs20", "nodejs20.x"), ("node@18.17.1", "nodejs18.x"), ("js", "nodejs")),
        *(("Node.js", "nodejs"), ("node-v18", "nodejs18.x"), ("nodejs18.X", "nodejs18.x"), ("typescript", "nodejs")),
        *(("c++", "cpp"), ("C++17", "cpp"), ("gcc", "cpp"), ("c", "cpp"), ("golang", "go"), ("Go1.22", "go")),
    ],
)
def test_a_name_that_nothing_has_is_answered_with_the_nearest_one(asked: str, meant: str):
    with pytest.raises(RuntimeNotSupportedError, match=f"not known.*did you mean '{meant}'"):
        resolve(asked, BUILT_BY_SETUP, stand_ins=True)


def test_a_name_that_is_like_none_is_answered_with_the_list():
    with pytest.raises(RuntimeNotSupportedError, match=r"'cobol' is not known; available: .*, go$"):
        resolve("cobol", BUILT_BY_SETUP)


@pytest.mark.parametrize(
    ("runtime", "root_files", "handler"),
    [
        ("python3.11", ["main.py", "other.py"], "main.handler"),
        ("python3.11", ["a.py", "b.py"], "main.handler"),
        ("python3.11", ["hello.py", "data.json"], "hello.handler"),
        ("python3.11", ["lambda_function.py", "tools.py"], "lambda_function.handler"),
        ("python3.11", ["lambda_function.py", "main.py"], "main.handler"),
        ("python3.11", [], "main.handler"),
        ("nodejs18.x", ["index.js", "lib.js"], "index.handler"),
        ("nodejs18.x", ["index.js", "main.mjs"], "main.handler"),
        ("nodejs18.x", ["hello.mjs"], "hello.handler"),
        ("cpp", ["a.cpp"], "main.cpp"),
        ("go", [], "main.go"),
    ],
)
def test_the_default_handler_of_a_folder(runtime: str, root_files: list[str], handler: str):
    assert RUNTIMES[runtime].handler_of_folder(root_files) == handler


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
def test_a_source_file_lies_where_its_handler_is_looked_for_and_never_outside(runtime: str, handler: str, name: str):
    assert RUNTIMES[runtime].source_of(handler) == name


@pytest.mark.parametrize(
    ("runtime", "handler", "meant"),
    [
        ("cpp", "main.handler", "main.cpp"),
        ("go", "main.handler", "main.go"),
        ("go", "cmd/app.handler", "cmd/app.go"),
        ("cpp", "main.cpp", "main.cpp"),
        ("cpp", "", ""),
        ("cpp", "app.run", "app.run"),
        ("python3.11", "main.handler", "main.handler"),
        ("nodejs18.x", "index.handler", "index.handler"),
    ],
)
def test_a_handler_that_clients_send_for_everything_is_a_compiled_programs_file(runtime: str, handler: str, meant: str):
    assert RUNTIMES[runtime].handler_as_meant(handler) == meant


def test_every_default_handler_is_one_that_its_runtime_takes():
    for runtime in RUNTIMES.values():
        for handler in (runtime.handler_of_archive(()), runtime.handler_of_file(f"hello{runtime.suffixes[0]}")):
            assert runtime.fault_of_handler(handler) is None, (runtime.name, handler)


def test_no_ending_belongs_to_two_languages_and_no_name_is_both_alias_and_runtime():
    for runtime in RUNTIMES.values():
        assert {alias_of_suffix(suffix) for suffix in runtime.suffixes} == {runtime.alias}
    assert not ALIASES.keys() & RUNTIMES.keys()


def test_every_image_has_its_settings_file():
    def settings(image: str) -> Path:
        folder, _, tag = image.removeprefix("nanogrid/").partition(":")
        return IMAGES / folder / f"{tag.removesuffix('-fat')}.conf"

    assert [one.name for one in RUNTIMES.values() if not settings(one.image).is_file()] == []
