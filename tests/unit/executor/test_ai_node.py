"""How AI_ENDPOINT is read."""

import pytest

from services.executor.sandbox.ai_node import parse_ai_endpoint


@pytest.mark.parametrize(
    ("url", "host", "port", "inside"),
    [
        ("http://10.0.20.100:11434", "10.0.20.100", 11434, "http://127.0.0.1:11434"),
        ("http://10.0.20.100:11434/", "10.0.20.100", 11434, "http://127.0.0.1:11434"),
        ("http://ai.internal", "ai.internal", 80, "http://127.0.0.1:11434"),
        ("https://ai.internal/ollama/", "ai.internal", 443, "http://127.0.0.1:11434/ollama"),
        ("http://[fd00::5]:8000/v1", "fd00::5", 8000, "http://127.0.0.1:11434/v1"),
    ],
)
def test_where_it_is_and_what_functions_are_told(url: str, host: str, port: int, inside: str) -> None:
    node = parse_ai_endpoint(url)

    assert node is not None
    assert (node.host, node.port, node.inside_url) == (host, port, inside)
    assert (node.tls is not None) == url.startswith("https")


def test_without_one_there_is_none() -> None:
    assert parse_ai_endpoint("") is None


@pytest.mark.parametrize(
    "url",
    [
        "10.0.20.100:11434",
        "ftp://ai",
        "unix:///run/ai.sock",
        "http://",
        "http://ai:port",
        "http://ai:99999",
        "http://[::",
    ],
)
def test_what_names_no_server_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(ValueError, match=r"^AI_ENDPOINT: .*; write http://host:port"):
        parse_ai_endpoint(url)


@pytest.mark.parametrize("url", ["http://me:secret@ai:11434", "http://ai:11434/?a=b", "http://ai:11434/#top"])
def test_what_functions_could_not_be_given_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^AI_ENDPOINT: no user, query or fragment") as caught:
        parse_ai_endpoint(url)

    assert "secret" not in str(caught.value)
