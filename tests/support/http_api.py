"""A small HTTP server that gives the answers set by a test and records its requests."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class ArrivedRequest:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Api:
    """Answers each `METHOD /path` with its next answer, and repeats the last one. Unknown paths get 404."""

    url: str = ""
    asked: list[ArrivedRequest] = field(default_factory=list)
    answers: dict[str, list[tuple[int, Any, dict[str, str]]]] = field(default_factory=dict)

    def on(self, request: str, status: int, body: Any, **headers: str) -> None:
        self.answers.setdefault(request, []).append((status, body, headers))

    def next_answer(self, request: str) -> tuple[int, Any, dict[str, str]]:
        left = self.answers.get(request)
        if not left:
            return 404, {"detail": f"nothing is known of {request}"}, {}
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def http_api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            api.asked.append(ArrivedRequest(self.command, self.path, headers, body))
            status, content, extra = api.next_answer(f"{self.command} {self.path}")
            packed = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name.replace("_", "-"), value)
            if status != 204:
                self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            if status != 204:
                self.wfile.write(packed)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - names of the library

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
