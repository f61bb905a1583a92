"""Scripts run as programs, in Python and Node: what they print last, how they end, and what ends them."""

from pathlib import Path
from typing import Any

import docker
import pytest

from support.grid import Grid
from support.waiting import wait_until

pytestmark = pytest.mark.backends("embedded")  # the executor's affair, whatever the backends

NAMES = {"python": "script.py", "nodejs": "script.js"}
# Prints what its event says, with the language's own words for output.
PRINTS = {
    "python": "import json, sys\nprint(json.load(sys.stdin)['text'], end='')\n",
    "nodejs": "process.stdout.write(JSON.parse(require('fs').readFileSync(0)).text)\n",
}
EXITS = {
    "python": "import json, os, sys\nos._exit(json.load(sys.stdin)['code'])\n",
    "nodejs": "process.exit(JSON.parse(require('fs').readFileSync(0)).code)\n",
}
_UPLOADED: dict[tuple[str, str], str] = {}


@pytest.fixture(params=["python", "nodejs"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def uploaded(grid: Grid, language: str, source: str) -> str:
    key = (grid.url, source)
    if key not in _UPLOADED:
        _UPLOADED[key] = grid.upload(source, NAMES[language], runtime=language)
    return _UPLOADED[key]


def printed(grid: Grid, language: str, text: str) -> dict[str, Any]:
    return grid.run(uploaded(grid, language, PRINTS[language]), {"text": text})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('log\n{"a": 1}\n', {"a": 1}),
        ('log\n{\n  "a": [\n    1,\n    2\n  ]\n}\n', {"a": [1, 2]}),
        ('[INFO] begun\n[\n{"id": 1},\n{"id": 2}\n]\n\n', [{"id": 1}, {"id": 2}]),
        ("\ufeff[1]\r\n", [1]),
        ("done\n", None),
        ("[INFO] done", None),
        ("[5 rows x 3 columns]\n", None),
        ("None\n", None),
        ("", None),
    ],
)
def test_the_last_json_is_the_result_and_other_text_is_none(grid: Grid, language: str, text: str, result: Any) -> None:
    job = printed(grid, language, text)

    assert (job["status"], job["result"]) == ("completed", result), job


@pytest.mark.parametrize(
    "text",
    ["NaN\n", '{"mean": NaN}\n', "{'a': None}\n", "{ a: 1, b: [ 'x' ] }\n", "{'a': 1,\n 'b': 2}\n", '{"a": [1, 2'],
)
def test_what_is_nearly_json_is_an_error_that_says_so(grid: Grid, language: str, text: str) -> None:
    job = printed(grid, language, text)

    assert (job["status"], job["error"]["type"], job["exit_code"]) == ("failed", "ResultInvalid", 0), job
    assert "is not JSON" in job["error"]["message"]
    assert job["stdout"] == text


@pytest.mark.parametrize(
    "number",
    ["18446744073709551616", "-170141183460469231731687303715884105729", "0.1000000000000000055511151231257827"],
)
def test_numbers_are_passed_on_digit_by_digit(grid: Grid, language: str, number: str) -> None:
    function_id = uploaded(grid, language, PRINTS[language])
    text = f'{{\\n  \\"n\\": {number}\\n}}'

    answer = grid.http.post(
        "/run",
        content=f'{{"function_id":"{function_id}","payload":{{"text":"{text}"}}}}',
        headers={"content-type": "application/json"},
    )

    assert f'"result":{{\n  "n": {number}\n}}' in answer.text


@pytest.mark.parametrize("code", [1, 137, 255])
def test_a_script_that_ends_with_a_number_is_never_told_to_have_been_killed(
    grid: Grid, language: str, code: int
) -> None:
    job = grid.run(uploaded(grid, language, EXITS[language]), {"code": code})

    assert (job["exit_code"], job["error"]["type"]) == (code, "ExitError")
    assert job["error"]["message"] == f"the function's process exited with status {code}"


def container_with(file: str) -> Any:
    """Find the running container whose /code has this file, once it is there."""
    client = docker.from_env()

    def found() -> Any:
        for one in client.containers.list(filters={"label": "nanogrid.sandbox"}, ignore_removed=True):
            [code] = [mount["Source"] for mount in one.attrs["Mounts"] if mount["Destination"] == "/code"]
            if (Path(code) / file).exists():
                return one
        return None

    return wait_until(found, "its container did not come")


@pytest.mark.parametrize("kill", ["kill", "stop"])
def test_a_job_whose_container_is_killed_is_run_again(grid: Grid, sandbox_url: str, kill: str) -> None:
    if sandbox_url != "docker:":
        pytest.skip("there are no containers")
    code = "import time\ndef handler(event, context):\n    time.sleep(3)\n    return event\n"
    function_id = grid.upload(code, f"killed_by_{kill}.py")

    accepted = grid.run(function_id, [1], **{"X-Async": "true"})
    getattr(container_with(f"killed_by_{kill}.py"), kill)()
    job = grid.wait(accepted["job_id"])

    assert (job["status"], job["result"], job["attempt"]) == ("completed", [1], 2), job
