"""The summarizer example on a grid that knows an AI node, and when that node is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.grid import Grid, running_grid
from support.ollama_server import MODEL, OllamaServer, answer_to, ollama_server
from support.redis_server import free_port

SUMMARIZER = (Path(__file__).parents[2] / "examples" / "summarizer" / "main.py").read_bytes()


@pytest.fixture(scope="module")
def ollama() -> Iterator[OllamaServer]:
    with ollama_server() as server:
        yield server


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str, ollama: OllamaServer) -> Iterator[Grid]:
    folder = tmp_path_factory.mktemp("asking")
    with running_grid(folder, AI_ENDPOINT=ollama.url, NANOGRID_EXECUTOR_SANDBOX_URL=sandbox_url) as grid:
        yield grid


def test_a_text_is_summarised_by_the_ai_node(asking: Grid, ollama: OllamaServer) -> None:
    function_id = asking.upload(SUMMARIZER)

    job = asking.run(function_id, {"text": "나노그리드는 함수를 실행한다. " * 200})

    assert job["status"] == "completed", job
    [request] = ollama.requests
    assert (request.path, request.body["model"], request.body["stream"]) == ("/api/generate", MODEL, False)
    assert "나노그리드는 함수를 실행한다." in request.body["prompt"]
    assert job["result"]["summary"] == answer_to(request.body["prompt"])
    assert job["result"]["model"] == MODEL


def test_a_text_that_is_missing_is_the_functions_error(asking: Grid) -> None:
    job = asking.run(asking.upload(SUMMARIZER), {"text": "  "})

    assert job["status"] == "failed"
    assert job["error"]["message"] == "ValueError: text: there is nothing to summarise"


def test_an_ai_node_that_is_down_is_an_error_that_says_so(
    tmp_path_factory: pytest.TempPathFactory, sandbox_url: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("down")
    with running_grid(folder, AI_ENDPOINT=nowhere, NANOGRID_EXECUTOR_SANDBOX_URL=sandbox_url) as grid:
        job = grid.run(grid.upload(SUMMARIZER), {"text": "a story"})

    assert job["status"] == "failed"
    assert job["error"]["type"] == "HandlerError"
    says = "answered 502: the AI node cannot be reached" if sandbox_url == "docker:" else "there is no AI node"
    assert says in job["error"]["message"]
