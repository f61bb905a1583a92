"""The stand-in for the AI node, held against Ollama's own Python client."""

from collections.abc import Iterator

import httpx
import ollama
import pytest

from support.ollama_server import MODEL, OllamaServer, answer_to, ollama_server
from support.waiting import WATCHDOG_S


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with ollama_server() as server:
        yield server


@pytest.fixture
def client(server: OllamaServer) -> Iterator[ollama.Client]:
    client = ollama.Client(server.url, trust_env=False)
    yield client
    client._client.close()


def test_it_generates_at_once(client: ollama.Client) -> None:
    answer = client.generate(MODEL, "서울은 대한민국의 수도이다.")

    assert answer.response == answer_to("서울은 대한민국의 수도이다.")
    assert answer.done
    assert answer.done_reason == "stop"
    assert answer.eval_count
    assert answer.total_duration


def test_it_generates_word_by_word(client: ollama.Client) -> None:
    pieces = list(client.generate(MODEL, "Tell me", stream=True))

    assert len(pieces) > 3
    assert "".join(piece.response for piece in pieces) == answer_to("Tell me")
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@pytest.mark.parametrize("stream", [False, True])
def test_it_chats(client: ollama.Client, *, stream: bool) -> None:
    answer = client.chat(MODEL, [{"role": "user", "content": "Hello"}], stream=stream)

    pieces = list(answer) if stream else [answer]
    assert "".join(piece.message.content for piece in pieces) == answer_to("Hello")
    assert {piece.message.role for piece in pieces} == {"assistant"}


def test_it_lists_its_model(client: ollama.Client) -> None:
    [model] = client.list().models

    assert model.model == MODEL
    assert model.details
    assert model.details.family == "llama"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_it_does_not_have_is_not_found(client: ollama.Client, *, stream: bool) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'gpt:1t' not found") as caught:
        list(client.generate("gpt:1t", "Hello", stream=stream))

    assert caught.value.status_code == 404


def test_a_prompt_is_not_needed_to_load_the_model(client: ollama.Client) -> None:
    assert client.generate(MODEL).done_reason == "load"


def test_it_streams_unless_told_otherwise(server: OllamaServer) -> None:
    answer = httpx.post(
        f"{server.url}/api/generate", json={"model": MODEL, "prompt": "x"}, trust_env=False, timeout=WATCHDOG_S
    )

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.count("\n") > 3


def test_what_it_cannot_read_is_a_bad_request(server: OllamaServer) -> None:
    answer = httpx.post(f"{server.url}/api/chat", trust_env=False, timeout=WATCHDOG_S)

    assert answer.status_code == 400
    assert answer.json() == {"error": "missing request body"}
