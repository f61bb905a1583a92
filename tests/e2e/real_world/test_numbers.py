"""Numbers of any length come back digit by digit, in every runtime, however the call and its answer travel."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nanogrid.queue import TaskQueue, open_queue
from support.grid import Grid
from support.programs import CPP, GO, require

pytestmark = pytest.mark.backends("embedded")  # other roads for the same bytes are tried in test_closed_payloads.py

NUMBERS = (
    "[18446744073709551616, -340282366920938463463374607431768211456, 0.1000000000000000055511151231257827, 1E400]"
)
# A program of each language that prints its event as it came, and Python's handlers, whose integers have no end.
ECHOES = {
    "python program": ("main.py", "import sys\nsys.stdout.write(sys.stdin.read())\n", {"runtime": "python"}),
    "node program": ("main.js", "process.stdout.write(require('fs').readFileSync(0));\n", {"runtime": "nodejs"}),
    "cpp": ("main.cpp", "#include <iostream>\nint main() { std::cout << std::cin.rdbuf(); }\n", {"runtime": "cpp"}),
    "go": (
        "main.go",
        'package main\n\nimport (\n\t"io"\n\t"os"\n)\n\nfunc main() { io.Copy(os.Stdout, os.Stdin) }\n',
        {"runtime": "go"},
    ),
}
COUNTS = "def handler(event, context): return [event + 1, -event, 2**200]\n"


@pytest.fixture
async def queue(grid: Grid) -> AsyncIterator[TaskQueue]:
    async with open_queue(grid.queue_url, f"numbers-{uuid.uuid4()}") as opened:
        yield opened


def answer_to(grid: Grid, function_id: str, payload: str) -> str:
    """Return the text of the answer to a call in the second dialect."""
    body = f'{{"functionId":"{function_id}","inputData":{payload}}}'
    return grid.http.post("/run", content=body, headers={"content-type": "application/json"}).text


async def answer_by_hand(grid: Grid, queue: TaskQueue, function_id: str, payload: str) -> str:
    """Return the text of the status of a call that was put on the queue by hand."""
    job_id = f"job-{uuid.uuid4()}"
    await queue.send(f'{{"job_id":"{job_id}","function_id":"{function_id}","payload":{payload}}}'.encode())
    grid.ended(job_id)
    return grid.http.get(f"/status/{job_id}").text


@pytest.mark.parametrize("kind", ECHOES)
async def test_a_programs_numbers_are_its_own(grid: Grid, queue: TaskQueue, sandbox_url: str, kind: str) -> None:
    name, source, fields = ECHOES[kind]
    if kind in ("cpp", "go"):
        if sandbox_url != "docker:":
            pytest.skip("compiled functions are built and run in docker: sandboxes only")
        require(CPP if kind == "cpp" else GO)
    function_id = grid.upload(source, name, **fields)

    answers = [answer_to(grid, function_id, NUMBERS), await answer_by_hand(grid, queue, function_id, NUMBERS)]

    for answer in answers:
        assert f'"result":{NUMBERS}' in answer, answer


@pytest.mark.parametrize("mode", ["reuse", "fresh"])
async def test_a_python_handlers_integers_have_no_end(grid: Grid, queue: TaskQueue, mode: str) -> None:
    function_id = grid.upload(COUNTS, mode=mode)
    number = 2**64

    answers = [answer_to(grid, function_id, str(number)), await answer_by_hand(grid, queue, function_id, str(number))]

    assert [json.loads(answer)["result"] for answer in answers] == [[number + 1, -number, 2**200]] * 2


@pytest.mark.parametrize("mode", ["reuse", "fresh"])
def test_a_node_handlers_numbers_are_doubles_and_a_bigint_is_no_silent_null(grid: Grid, mode: str) -> None:
    source = "exports.handler = async (event) => (event.big ? 2n ** 64n : [2 ** 64, 2 ** 53, 1e300]);\n"
    function_id = grid.upload(source, "main.js", runtime="nodejs", mode=mode)

    doubles: dict[str, Any] = grid.run(function_id)
    big = grid.run(function_id, {"big": True})

    assert doubles["result"] == [18446744073709552000, 9007199254740992, 1e300]
    assert (big["status"], big["error"]["type"]) == ("failed", "ResultInvalid"), big
    assert "BigInt" in big["error"]["message"]
