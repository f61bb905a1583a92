"""Node functions as users upload and call them."""

import io
import os
import zipfile

import pytest

from support.grid import Grid
from support.sandboxes import NODE, absent, here

HELLO = """
const fs = require('fs');
exports.handler = async (event, context) => {
  fs.writeFileSync('/output/인사.txt', event.name);
  return { statusCode: 200, body: `Hello, ${event.name}!`, job: context.awsRequestId };
};
"""


pytestmark = pytest.mark.backends("embedded")  # the language is the executor's affair, whatever the backends


@pytest.fixture(autouse=True)
def node_is_there(sandbox_url: str) -> None:
    missing = absent(sandbox_url, here(sandbox_url, NODE))
    if missing is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)


def packed(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return archive.getvalue()


@pytest.mark.parametrize("mode", ["reuse", "fresh"])
def test_hello(grid: Grid, mode: str) -> None:
    function_id = grid.upload(HELLO, "hello.js", runtime="nodejs", mode=mode)

    for name in ("NanoGrid", "나노그리드"):
        job = grid.run(function_id, {"name": name})

        assert job["status"] == "completed", job
        assert job["result"] == {"statusCode": 200, "body": f"Hello, {name}!", "job": job["job_id"]}
        [url] = job["output_files"]
        assert grid.http.get(url).text == name


@pytest.mark.parametrize(
    "files",
    [
        {"main.js": "exports.handler = () => 1;", "index.js": "exports.handler = () => 2;"},
        {
            "index.mjs": "import { one } from './src/one.mjs';\nexport const handler = () => one;",
            "src/one.mjs": "export const one = 1;",
        },
    ],
)
def test_a_zip_is_entered_at_its_main_or_else_its_index(grid: Grid, files: dict[str, str]) -> None:
    function_id = grid.upload(packed(files), "code.zip", runtime="nodejs")

    assert grid.run(function_id)["result"] == 1


def test_a_handler_may_be_in_a_folder(grid: Grid) -> None:
    code = packed({"src/index.js": "exports.work = async () => 1;"})

    function_id = grid.upload(code, "code.zip", runtime="nodejs", handler="src/index.work")

    assert grid.run(function_id)["result"] == 1


def test_a_program_answers_with_its_last_line(grid: Grid) -> None:
    code = (
        "const { n } = JSON.parse(process.env.PAYLOAD);\nconsole.log('so');\nconsole.log(JSON.stringify({ n: n + 1 }));"
    )

    job = grid.run(grid.upload(code, "add.mjs", runtime="nodejs"), {"n": 1})

    assert job["result"] == {"n": 2}
    assert job["stdout"].startswith("so\n")


def test_a_failure_names_its_class_and_line(grid: Grid) -> None:
    function_id = grid.upload("exports.handler = () => { throw new TypeError('no'); };", "main.js", runtime="nodejs")

    job = grid.run(function_id)

    assert job["status"] == "failed"
    assert job["error"]["type"] == "HandlerError"
    assert job["error"]["message"] == "TypeError: no"
    assert "/code/main.js:1" in job["error"]["stack"]
