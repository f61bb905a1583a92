"""A server that speaks the JSON API of Google Cloud Storage, preconditions and faults included."""

import base64
import json
import random
import re
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.gcs_objects import PIECE, Objects, Refusal, Session, Stored

OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/(.+)")
LISTING = re.compile(r"/storage/v1/b/([^/]+)/o")
BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class GcsServer:
    """The running server. Its objects survive `stop` and `start`. The fault switches apply at once."""

    def __init__(self, *buckets: str) -> None:
        self.objects = Objects(buckets)
        self.counts: Counter[str] = Counter()  # by operation, failed ones too
        self.down = False  # every request is answered 503
        self.flaky = 0.0  # share of requests answered 503
        self.lost_answers = 0  # number of inserts and chunks to accept and answer 503
        self.cut_downloads = 0  # number of downloads to cut halfway
        self.damaged_downloads = 0  # number of downloads with a wrong byte
        self.short_chunks = False  # accept only half of a resumable chunk
        self.token = ""  # bearer token that callers need. POST /token with an assertion returns it
        self.issuers: set[str] = set()  # issuers that requested the token
        self.revoked: set[str] = set()  # issuers that are refused
        self.sessions: dict[str, Session] = {}
        self.lock = threading.Lock()
        self.dice = random.Random(20)
        self.port = 0
        self._http: _Http | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment that directs the client library here, without credentials."""
        return {"STORAGE_EMULATOR_HOST": self.url}

    def start(self) -> None:
        handler = type("Bound", (_Handler,), {"owner": self})
        self._http = _Http(("127.0.0.1", self.port), handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Cut every connection and refuse new ones."""
        http, self._http = self._http, None
        if http is not None:
            http.shutdown()
            http.server_close()

    def uses_up(self, switch: str) -> bool:
        """Return whether a fault is due, and count it down."""
        left = getattr(self, switch)
        setattr(self, switch, max(0, left - 1))
        return left > 0

    def content(self, bucket: str) -> dict[str, bytes]:
        with self.lock:
            return {name: stored.content for (where, name), stored in self.objects.all.items() if where == bucket}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self.links: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.links.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.links.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        self.socket.close()
        for link in list(self.links):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Ignore connections that clients cut."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    owner: GcsServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answered({LISTING: self._list, OBJECT: self._get, BUCKET: self._bucket})

    def do_POST(self) -> None:
        self._answered({UPLOAD: self._upload, re.compile("/token"): self._grant})

    def do_PUT(self) -> None:
        self._answered({UPLOAD: self._resume})

    def do_DELETE(self) -> None:
        self._answered({UPLOAD: self._abandon, OBJECT: self._delete})

    def _answered(self, routes: dict[re.Pattern[str], Any]) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        found = ((call, match) for route, call in routes.items() if (match := route.fullmatch(parts.path)))
        call, match = next(found, (None, None))
        owner = self.owner
        with owner.lock:
            owner.counts[call.__name__.strip("_") if call else "unknown"] += 1
            fails = owner.down or (owner.flaky > 0 and owner.dice.random() < owner.flaky)
        if fails:
            return self._refuse(Refusal(503, "We encountered an internal error. Please try again."))
        if owner.token and parts.path != "/token" and self.headers.get("Authorization") != f"Bearer {owner.token}":
            return self._refuse(Refusal(401, "Invalid Credentials"))
        try:
            call(*map(unquote, match.groups())) if call else self._refuse(Refusal(404, "Not Found"))
        except Refusal as refusal:
            self._refuse(refusal)

    def _bucket(self, bucket: str) -> None:
        self.owner.objects.check_bucket(bucket)
        self._say(200, {"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US"})

    def _list(self, bucket: str) -> None:
        with self.owner.lock:
            page, following = self.owner.objects.page(bucket, self.query)
        said: dict[str, Any] = {"kind": "storage#objects", "items": [one.resource(self._address) for one in page]}
        self._say(200, said | ({"nextPageToken": following} if following else {}))

    def _get(self, bucket: str, name: str) -> None:
        with self.owner.lock:
            stored = self.owner.objects.find(bucket, name, self.query)
        if self.query.get("alt") == "media":
            self._send_media(stored)
        else:
            self._say(200, stored.resource(self._address))

    def _send_media(self, stored: Stored) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), int(wanted[2] or len(stored.content) - 1)) if wanted else (0, None)
        if wanted and first >= len(stored.content):
            raise Refusal(416, "Request range not satisfiable")
        body = stored.content[first : None if last is None else last + 1]
        headers = {
            "Content-Type": stored.content_type,
            "X-Goog-Generation": str(stored.generation),
            "X-Goog-Hash": f"crc32c={stored.crc32c},md5={stored.md5}",
            "X-Goog-Stored-Content-Length": str(len(stored.content)),
        }
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(stored.content)}"
        with self.owner.lock:
            self.owner.counts["media"] += 1
            is_cut, is_damaged = self.owner.uses_up("cut_downloads"), self.owner.uses_up("damaged_downloads")
        body = bytes([body[0] ^ 1]) + body[1:] if is_damaged else body
        self._send(206 if wanted else 200, headers, body, cut_at=len(body) // 2 if is_cut else None)

    def _delete(self, bucket: str, name: str) -> None:
        with self.owner.lock:
            self.owner.objects.delete(bucket, name, self.query)
        self._send(204, {}, b"")

    def _upload(self, bucket: str) -> None:
        kind = self.query.get("uploadType")
        if kind not in {"multipart", "resumable"}:
            raise Refusal(400, "this server knows multipart and resumable uploads only")
        return self._begin(bucket) if kind == "resumable" else self._put_whole(bucket)

    def _put_whole(self, bucket: str) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        about, media = message_from_bytes(head + self.body).get_payload()
        # The parser alters binary content, so the bytes are cut out by their boundary instead.
        boundary = b"--" + re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
        content = self.body.split(boundary)[2].split(b"\r\n\r\n", 1)[1][: -len(b"\r\n")]
        resource = json.loads(about.get_payload(decode=True))
        self._insert(Session(bucket, self.query, resource, media["Content-Type"], bytearray(content)))

    def _begin(self, bucket: str) -> None:
        resource = json.loads(self.body or b"{}")
        session = Session(bucket, self.query, resource, self.headers.get("X-Upload-Content-Type", ""))
        with self.owner.lock:
            self.owner.objects.check(session)
            upload_id = secrets.token_hex(8)
            self.owner.sessions[upload_id] = session
        self._send(200, {"Location": f"{self._address}{urlsplit(self.path).path}?upload_id={upload_id}"}, b"")

    def _resume(self, _: str) -> None:
        session = self._session()
        span = RANGE.fullmatch(self.headers.get("Content-Range", ""))
        if not span:
            raise Refusal(400, "Content-Range is missing or malformed")
        if session.stored:
            return self._say(200, session.stored.resource(self._address))
        first, total = span[1] and int(span[1]), None if span[3] == "*" else int(span[3])
        if first is not None:
            self._take(session, first, total)
        if total is not None and total == len(session.content):
            return self._insert(session)
        taken = {"Range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
        return self._send(308, taken, b"")

    def _take(self, session: Session, first: int, total: int | None) -> None:
        body, have = self.body, len(session.content)
        if first > have:
            raise Refusal(503, f"the upload offset {first} exceeds the already uploaded size {have}")
        if total is None and len(body) % PIECE:
            raise Refusal(400, f"all but the last chunk are multiples of {PIECE} bytes")
        if self.owner.short_chunks:
            body = body[: max(PIECE, len(body) // 2 // PIECE * PIECE)]
        session.content += body[have - first :]
        with self.owner.lock:
            self.owner.counts["bytes sent twice"] += min(have - first, len(body))
            if total is None and self.owner.uses_up("lost_answers"):
                raise Refusal(503, "the answer got lost")

    def _insert(self, session: Session) -> None:
        said = re.search("crc32c=([^,]+)", self.headers.get("X-Goog-Hash", ""))
        with self.owner.lock:
            stored = session.stored = self.owner.objects.insert(session, said and said[1])
            is_lost = self.owner.uses_up("lost_answers")
        if is_lost:
            raise Refusal(503, "the answer got lost")
        self._say(200, stored.resource(self._address))

    def _abandon(self, _: str) -> None:
        with self.owner.lock:
            self.owner.sessions.pop(self.query["upload_id"], None)
        self._send(499, {}, b"")

    def _session(self) -> Session:
        with self.owner.lock:
            session = self.owner.sessions.get(self.query.get("upload_id", ""))
        if session is None:
            raise Refusal(410, "the upload session is not known")
        return session

    def _grant(self) -> None:
        claims = parse_qs(self.body.decode())["assertion"][0].split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(claims + "=="))["iss"]
        self.owner.issuers.add(issuer)
        if issuer in self.owner.revoked:
            raise Refusal(401, "the key was revoked")
        self._say(200, {"access_token": self.owner.token, "expires_in": 3600, "token_type": "Bearer"})

    @property
    def _address(self) -> str:
        return f"http://{self.headers['Host']}"

    def _refuse(self, refusal: Refusal) -> None:
        self._say(refusal.status, {"error": {"code": refusal.status, "message": refusal.message}})

    def _say(self, status: int, answer: dict[str, Any]) -> None:
        self._send(status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(answer).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, cut_at: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut_at])
        self.close_connection = cut_at is not None


@contextmanager
def gcs_server(*buckets: str) -> Iterator[GcsServer]:
    """Run a server with empty buckets."""
    server = GcsServer(*buckets)
    server.start()
    try:
        yield server
    finally:
        server.stop()
