"""What NanoGrid knows of a runtime stands in one table: a row added to it is taken everywhere."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from nanogrid.runtimes import RUNTIMES, SOURCE_SUFFIXES

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "nanogrid" / "runtimes.py"
INSIDE = ROOT / "services" / "executor" / "runtime"  # the resident programs know their own language

RUBY = """
RUNTIMES["ruby3.3"] = Runtime(
    "ruby3.3", "ruby", "ruby", (3, 3), "nanogrid/ruby:3.3-fat", (".rb",), Program("ruby", "ruby/main.rb")
)
"""

# Run with that row in the table: every place that takes an upload on its way, asked for it.
ASK = """
import sys
from pathlib import Path
from gateway.rest import option_schemas, options
from nanogrid.cli.bundle import guess_runtime, runtime_of
from nanogrid.runtimes import RUNTIMES, resolve
from nanogrid.v1.resources_pb2 import Function
from services.artifacts.keys import is_single_source
from services.registry.catalog import check
from nanogrid.defaults import fill_defaults

ruby = resolve("ruby", frozenset({"ruby3.3", "python3.11"}))
assert options.suffix_of("hello.rb") == ".rb"
options.check_fits(".rb", ruby)
assert options.default_handler(ruby, "hello.rb", []) == "hello.handler"
assert "ruby3.3" in option_schemas.OPTIONS["runtime"]["description"]
assert is_single_source("hello.rb")
assert guess_runtime(Path("hello.rb")) == "ruby" == runtime_of(["main.rb", "notes.txt"])
check(fill_defaults(Function(function_id=sys.argv[1], function_name="f", runtime=ruby.name,
                             handler="hello.handler", s3_key="a.zip")))
"""


def _literals() -> Iterator[tuple[str, str]]:
    """Every string of the sources outside the table, docstrings left out."""
    for package in ("nanogrid", "services", "gateway"):
        for path in (ROOT / package).rglob("*.py"):
            if path == TABLE or path.is_relative_to(INSIDE):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield str(path.relative_to(ROOT)), node.value


def test_no_other_source_names_a_suffix_an_image_a_runtime_or_the_file_a_default_handler_is_in():
    entries = {f"{module}{suffix}" for one in RUNTIMES.values() for module in one.modules for suffix in one.suffixes}
    known = {*RUNTIMES, *SOURCE_SUFFIXES, *entries, *(one.image for one in RUNTIMES.values())}

    # An example in an answer or a document is no knowledge.
    examples = {("gateway/rest/openapi.py", "python3.11"), ("gateway/rest/option_schemas.py", "python3.11")}
    assert {found for found in _literals() if found[1] in known} - examples == set()


def test_a_row_in_the_table_is_taken_by_every_door_that_an_upload_passes(tmp_path: Path):
    (tmp_path / "nanogrid").mkdir()
    # The kit is a namespace: a module of the same name in an earlier folder is taken instead.
    before, mark, after = TABLE.read_text().partition("_PREFERRED =")
    assert mark
    (tmp_path / "nanogrid" / "runtimes.py").write_text(f"{before}{RUBY}{mark}{after}")

    asked = subprocess.run(
        [sys.executable, "-c", ASK, "123e4567-e89b-42d3-a456-426614174000"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "gen")))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 0, asked.stderr
