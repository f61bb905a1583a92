"""Stands before servers that speak AWS, counts what they are asked, and can hold requests back for a while."""

import http.client
import re
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Call = tuple[str, str]  # the service by the name that signatures have for it, and the action

_SIGNED_FOR = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
_OF_BUCKETS = {"GET": "ListObjectsV2", "HEAD": "HeadBucket", "POST": "DeleteObjects"}
_OF_OBJECTS = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_PLAIN = {"list-type", "prefix", "continuation-token", "encoding-type", "delete"}  # what those are asked with
_HOP = {"connection", "expect", "keep-alive", "transfer-encoding"}  # headers between us and one side only
_HELD_S = 5.0  # below every client's patience
_ANSWER_S = 60.0  # above every long poll


def call_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
    """What a request asks for. Headers in lower case; buckets in the path, as with every server that is not AWS."""
    signed = _SIGNED_FOR.search(headers.get("authorization", ""))
    service = signed[1] if signed else ""
    if target := headers.get("x-amz-target"):
        return service, target.rpartition(".")[2]
    if service == "s3":
        return service, _s3_action(method, path)
    return service, parse_qs(body.decode(errors="replace")).get("Action", [method])[0]


def _s3_action(method: str, path: str) -> str:
    parts = urlsplit(path)
    asked = parse_qs(parts.query, keep_blank_values=True).keys()
    of_object = bool(parts.path.lstrip("/").partition("/")[2])
    known = _OF_OBJECTS if of_object else _OF_BUCKETS
    if method in known and not asked - (set() if of_object else _PLAIN):
        return known[method]
    return " ".join([method, *sorted(asked)])


@dataclass(frozen=True, slots=True)
class Hold:
    """While it lasts only `free` calls are let through. `passed` are those answered meanwhile."""

    free: Collection[Call]
    passed: Counter[Call] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)


class PassThrough:
    """Forwards requests to ports of this machine, in threads of this process. Use as a context."""

    def __init__(self, servers: Mapping[str, int], other: int) -> None:
        """`servers` by service; what is for none of them goes to `other`."""
        self._servers = servers
        self._other = other
        self._lock = threading.Lock()
        self._calls: Counter[Call] = Counter()
        self._hold: Hold | None = None
        self._http = _Server(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, name="pass-through", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def calls(self) -> Counter[Call]:
        """Those answered so far."""
        with self._lock:
            return self._calls.copy()

    @contextmanager
    def holding(self, free: Collection[Call]) -> Iterator[Hold]:
        """Hold all but `free` calls back until the block ends: what is done within it cannot have needed them.

        One that is waited for all the same is let through after some seconds, and counts as passed.
        """
        self._hold = hold = Hold(free)
        try:
            yield hold
        finally:
            with self._lock:
                self._hold = None
            hold.over.set()

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Ask the server that the request is for, and count it."""
        call, hold = call_of(method, path, headers, body), self._hold
        if hold is not None and call not in hold.free:
            hold.over.wait(_HELD_S)
        link = http.client.HTTPConnection("127.0.0.1", self._servers.get(call[0], self._other), timeout=_ANSWER_S)
        try:
            link.request(method, path, body, _end_to_end(headers))
            answer = link.getresponse()
            content = answer.read()
        finally:
            link.close()
        with self._lock:
            self._calls[call] += 1
            if self._hold is not None:
                self._hold.passed[call] += 1
        return answer, content


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a long poll may go on until its server is gone
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever ends hangs up: that is no news."""
        if not isinstance(sys.exception(), OSError | http.client.HTTPException):
            super().handle_error(request, client_address)


def _handler(through: PassThrough) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass(self) -> None:
            headers = {name.lower(): said for name, said in self.headers.items()}
            if "transfer-encoding" in headers:
                self.send_error(501, "only bodies of a known length are passed on")
                return
            body = self.rfile.read(int(headers.get("content-length", 0)))
            answer, content = through.forward(self.command, self.path, headers, body)
            told = _end_to_end(dict(answer.headers))
            if self.command != "HEAD":
                told = {name: said for name, said in told.items() if name.lower() != "content-length"}
                told["Content-Length"] = str(len(content))
            lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {said}" for name, said in told.items())]
            self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - the names it is called by

        def log_message(self, *_: Any) -> None:
            """Nothing: it only counts."""

    return Handler


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: said for name, said in headers.items() if name.lower() not in _HOP}
