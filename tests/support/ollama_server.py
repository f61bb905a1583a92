"""A stand-in for Ollama: its exact HTTP API for one model, with predictable answers.

Fields, defaults, status codes and error messages are those of Ollama's server (docs/api.md, server/routes.go).
"""

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "llama3:8b"
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_0",
}
_HOLD_S = 30.0


@dataclass(frozen=True)
class Request:
    """One request of a client."""

    path: str
    host: str
    body: dict[str, Any]


@dataclass
class OllamaServer:
    """The running server, its requests, and two ways to make it wait."""

    url: str
    requests: list[Request] = field(default_factory=list)
    hold: threading.Event | None = None  # if given, a stream pauses after its first word until it is set
    together: threading.Barrier | None = None  # if given, no request is answered before enough arrive at once


def answer_to(prompt: str) -> str:
    """Return the model's answer: the length of the prompt and its beginning."""
    return f"In short ({len(prompt)} characters): {' '.join(prompt.split()[:8])}"


@contextmanager
def ollama_server(certificate: Path | None = None, port: int = 0) -> Iterator[OllamaServer]:
    """Serve on loopback, over TLS if given a PEM file of key and certificate."""
    http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    http.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        http.socket = context.wrap_socket(http.socket, server_side=True)
    scheme = "http" if certificate is None else "https"
    server = OllamaServer(f"{scheme}://127.0.0.1:{http.server_address[1]}")
    http.ollama = server  # type: ignore[attr-defined] # for the handlers
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        match self.path:
            case "/":
                self._text("Ollama is running")
            case "/api/version":
                self._json({"version": "0.12.6"})
            case "/api/tags":
                self._json({"models": [_model()]})
            case "/api/generate" | "/api/chat":
                self._text("405 method not allowed", HTTPStatus.METHOD_NOT_ALLOWED)
            case _:
                self._text("404 page not found", HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path not in ("/api/generate", "/api/chat"):
            return self._text("404 page not found", HTTPStatus.NOT_FOUND)
        if not raw:
            return self._error("missing request body", HTTPStatus.BAD_REQUEST)
        try:
            body = json.loads(raw)
        except ValueError:
            return self._error("invalid character in request body", HTTPStatus.BAD_REQUEST)
        self._ollama.requests.append(Request(self.path, self.headers["Host"], body))
        if self._ollama.together is not None:
            self._ollama.together.wait(_HOLD_S)
        return self._generate(body) if self.path == "/api/generate" else self._chat(body)

    def _generate(self, body: dict[str, Any]) -> None:
        model, prompt = body.get("model", ""), body.get("prompt", "")
        if _canonical(model) != MODEL:
            return self._error(f"model '{model}' not found", HTTPStatus.NOT_FOUND)
        if not prompt:
            return self._json(_piece(model) | {"response": "", "done": True, "done_reason": "load"})
        end = {"context": [128006, 882, 128007]}
        return self._answer(body, prompt, lambda word: {"response": word}, end)

    def _chat(self, body: dict[str, Any]) -> None:
        model, messages = body.get("model", ""), body.get("messages") or []
        if not model:
            return self._error("model is required", HTTPStatus.BAD_REQUEST)
        if _canonical(model) != MODEL:
            return self._error(f"model '{model}' not found", HTTPStatus.NOT_FOUND)
        if not messages:
            empty = {"message": {"role": "assistant", "content": ""}}
            return self._json(_piece(model) | empty | {"done": True, "done_reason": "load"})
        prompt = messages[-1].get("content", "")
        return self._answer(body, prompt, lambda word: {"message": {"role": "assistant", "content": word}}, {})

    def _answer(self, body: dict[str, Any], prompt: str, worded: Any, end: dict[str, Any]) -> None:
        began = time.perf_counter_ns()
        said = answer_to(prompt)
        last = {"done": True, "done_reason": "stop"} | end
        if body.get("stream", True) is False:
            return self._json(_piece(body["model"]) | worded(said) | last | _times(began, prompt, said))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, word in enumerate(said.split(" ")):
            self._chunk(_piece(body["model"]) | worded(word if number == 0 else f" {word}") | {"done": False})
            if number == 0 and self._ollama.hold is not None:
                self._ollama.hold.wait(_HOLD_S)
        self._chunk(_piece(body["model"]) | worded("") | last | _times(began, prompt, said))
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _chunk(self, value: dict[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.flush()

    def _json(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send("application/json; charset=utf-8", json.dumps(value, ensure_ascii=False), status)

    def _error(self, sentence: str, status: HTTPStatus) -> None:
        self._json({"error": sentence}, status)

    def _text(self, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send("text/plain; charset=utf-8", text, status)

    def _send(self, kind: str, text: str, status: HTTPStatus) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def _ollama(self) -> OllamaServer:
        return self.server.ollama  # type: ignore[attr-defined] # see ollama_server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


def _canonical(model: str) -> str:
    return MODEL if model in (MODEL, f"library/{MODEL}", f"registry.ollama.ai/library/{MODEL}") else model


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _piece(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": _now()}


def _times(began_ns: int, prompt: str, said: str) -> dict[str, int]:
    passed = time.perf_counter_ns() - began_ns
    return {
        "total_duration": passed,
        "load_duration": passed // 4,
        "prompt_eval_count": len(prompt.split()),
        "prompt_eval_duration": passed // 4,
        "eval_count": len(said.split()),
        "eval_duration": passed // 2,
    }


def _model() -> dict[str, Any]:
    return {
        "name": MODEL,
        "model": MODEL,
        "modified_at": _now(),
        "size": 4661224676,
        "digest": hashlib.sha256(MODEL.encode()).hexdigest(),
        "details": _DETAILS,
    }
