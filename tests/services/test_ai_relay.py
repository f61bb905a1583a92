"""The executor's end of the way to the AI node, over real sockets."""

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.executor.sandbox.ai_node import AiNode, parse_ai_endpoint
from services.executor.sandbox.relay import Relay
from support.ollama_server import MODEL, OllamaServer, answer_to, ollama_server
from support.redis_server import free_port
from support.waiting import WATCHDOG_S, watched

LIMIT = 32  # connections at a time


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with ollama_server() as server:
        yield server


@asynccontextmanager
async def relaying(folder: Path, node: AiNode | None) -> AsyncIterator[Path]:
    assert node is not None
    relay = Relay(folder, os.geteuid(), node)
    try:
        yield folder / "ai.sock"
    finally:
        await relay.close()


def client(path: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434", timeout=WATCHDOG_S)


async def test_a_question_is_answered(ollama: OllamaServer, tmp_path: Path) -> None:
    prompt = "word " * 400_000

    async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path, client(path) as http:
        answers = [
            await http.post("/api/generate", json={"model": MODEL, "prompt": prompt, "stream": False}) for _ in range(3)
        ]

    assert [answer.json()["response"] for answer in answers] == [answer_to(prompt)] * 3
    assert {request.host for request in ollama.requests} == {"127.0.0.1:11434"}


async def test_a_stream_arrives_while_it_is_made(ollama: OllamaServer, tmp_path: Path) -> None:
    ollama.hold = threading.Event()

    async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path, client(path) as http:
        question = {"model": MODEL, "prompt": "one two"}
        async with http.stream("POST", "/api/generate", json=question) as answer:
            lines = answer.aiter_lines()
            first = await anext(lines)
            ollama.hold.set()
            rest = [line async for line in lines]

    assert '"response": "In"' in first
    assert '"done": true' in rest[-1]


async def test_only_its_sandbox_may_open_the_socket(ollama: OllamaServer, tmp_path: Path) -> None:
    async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path:
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_node_that_is_down_is_a_502_that_says_so(tmp_path: Path) -> None:
    node = parse_ai_endpoint(f"http://127.0.0.1:{free_port()}")

    async with relaying(tmp_path, node) as path, client(path) as http:
        answer = await http.post("/api/generate", content=b"x" * 5_000_000)

    assert answer.status_code == 502
    assert answer.json() == {"error": "the AI node cannot be reached: ConnectionRefusedError"}


async def test_who_is_refused_may_finish_asking_and_then_hear_why(tmp_path: Path) -> None:
    async with relaying(tmp_path, parse_ai_endpoint(f"http://127.0.0.1:{free_port()}")) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        head = await reader.readuntil(b"\r\n")

        writer.transport.set_write_buffer_limits(0)
        writer.write(b"x" * 5_000_000)
        await writer.drain()

        assert head == b"HTTP/1.1 502 Bad Gateway\r\n"
        assert (await reader.read()).endswith(b"}")
        writer.close()


async def test_a_node_that_comes_back_is_used_again(tmp_path: Path) -> None:
    port = free_port()
    async with relaying(tmp_path, parse_ai_endpoint(f"http://127.0.0.1:{port}")) as path, client(path) as http:
        assert (await http.get("/api/tags")).status_code == 502
        with ollama_server(port=port):
            assert (await http.get("/api/tags")).status_code == 200
            await http.aclose()


async def test_the_end_of_the_question_reaches_the_node_and_its_answer_still_arrives(tmp_path: Path) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d bytes" % len(await reader.read()))
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, relaying(tmp_path, parse_ai_endpoint(f"http://127.0.0.1:{port}")) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x" * 3_000_000)
        writer.write_eof()

        assert await watched(reader.read()) == b"3000000 bytes"
        writer.close()


async def test_connections_are_bounded_and_the_next_one_waits_its_turn(ollama: OllamaServer, tmp_path: Path) -> None:
    async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path:
        held = [await asyncio.open_unix_connection(path) for _ in range(LIMIT)]
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)

        held[0][1].close()

        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        for _, other in [*held, (reader, writer)]:
            other.close()


async def test_who_does_not_read_slows_the_node_down_and_costs_no_memory(tmp_path: Path) -> None:
    sent, stalled = 0, asyncio.Event()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while True:
                writer.write(b"x" * 65536)
                sent += 65536
                async with asyncio.timeout(1):
                    await writer.drain()
        except TimeoutError:
            stalled.set()
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, relaying(tmp_path, parse_ai_endpoint(f"http://127.0.0.1:{port}")) as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")

        await stalled.wait()

        assert sent < 32_000_000  # what the kernel keeps for loopback, and little more
        assert len(await reader.read()) == sent
        writer.close()


async def test_closing_hangs_up_on_everybody(ollama: OllamaServer, tmp_path: Path) -> None:
    ollama.hold = threading.Event()
    async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        body = b'{"model": "llama3:8b", "prompt": "x"}'
        writer.write(b"POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await reader.readuntil(b"done")

    await reader.read()
    writer.close()
    ollama.hold.set()
    with pytest.raises(OSError, match="refused"):
        await asyncio.open_unix_connection(path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    pem = folder / "both.pem"
    pem.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return pem


async def test_an_https_node_is_asked_over_tls(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with ollama_server(certificate) as ollama:
        async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path, client(path) as http:
            question = {"model": MODEL, "prompt": "x" * 1_000_000}
            answer = await http.post("/api/generate", json=question | {"stream": False})

    assert answer.json()["response"].startswith("In short (1000000 characters)")


async def test_an_https_node_that_proves_nothing_gets_no_question(certificate: Path, tmp_path: Path) -> None:
    with ollama_server(certificate) as ollama:
        async with relaying(tmp_path, parse_ai_endpoint(ollama.url)) as path, client(path) as http:
            answer = await http.get("/api/tags")

    assert answer.status_code == 502
    assert answer.json() == {"error": "the AI node cannot be reached: SSLCertVerificationError"}
