"""The same handler and the same program, made into one file by everything that people do it with."""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.executor.sandbox import Kind
from support.sandboxes import NODE, Bench, open_bench

pytestmark = pytest.mark.timeout(900)  # the first one installs and builds them all

SOURCES = Path(__file__).parents[1] / "support" / "bundlers"

HANDLERS = (
    *("babel", "babel-minified", "esbuild-cjs", "esbuild-cjs-exported-again", "esbuild-cjs-minified"),
    *("esbuild-esm-minified", "esbuild-unbundled", "parcel", "rollup-cjs-exported-again", "rollup-cjs-minified"),
    *("rollup-esm", "swc", "swc-exported-again", "swc-minified", "tsc-cjs", "tsc-cjs-star", "tsc-esm"),
    *("webpack-commonjs-minified", "webpack-commonjs2", "webpack-development", "webpack-module", "webpack-umd"),
)

PROGRAMS = (
    *("esbuild-cjs", "esbuild-cjs-minified", "esbuild-esm-minified", "parcel", "rollup-cjs-minified", "rollup-esm"),
    *("webpack-commonjs2", "webpack-development"),
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything that was built, a folder each."""
    folder = tmp_path_factory.mktemp("bundlers")
    for name in ("package.json", "build.mjs"):
        shutil.copy(SOURCES / name, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    for command in (install, ["node", "build.mjs"]):
        subprocess.run(command, cwd=folder, check=True)
    return folder / "out"


@pytest.fixture
async def node_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench("docker:", tmp_path, NODE) as bench:
        yield bench


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", HANDLERS)
async def test_a_bundled_handler_is_a_handler(node_bench: Bench, bundles: Path, name: str) -> None:
    loaded = await node_bench.load(files_of(bundles / name))

    assert loaded.kind is Kind.HANDLER
    assert (await loaded.call({"at": "2026-11-27"})).value == "Year 2026"


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_bundled_program_is_a_program(node_bench: Bench, bundles: Path, name: str) -> None:
    loaded = await node_bench.load(files_of(bundles / "program" / name))

    assert loaded.kind is Kind.PROGRAM
    assert (await loaded.call({"at": "2026-11-27"})).printed.out == '"Year 2026"\n'


async def test_awss_powertools_find_what_they_read_of_the_context(node_bench: Bench, bundles: Path) -> None:
    loaded = await node_bench.load(files_of(bundles / "powertools"))

    called = await loaded.call({"n": 1})
    logged, measured = [json.loads(line) for line in called.printed.out.splitlines()]

    assert called.value == 2
    assert logged["function_request_id"] == "job-1"
    assert logged["function_arn"].endswith(":function:function-1")
    assert (logged["function_memory_size"], logged["n"]) == ("256", 1)
    assert (logged["function_name"], measured["orders"]) == ("function-1", 1)
