"""Wraps every HTTP request: sets request id and caller, counts and logs it, and turns errors into answers."""

import re
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.auth import HttpAuthenticator
from gateway.forwarded import Forwarding
from gateway.metrics import CLIENT_LEFT, Metrics
from gateway.rest import problems
from nanogrid import caller
from nanogrid.call_log import log_call
from nanogrid.caller import Caller
from nanogrid.logs import logger

# Called by balancers and monitors every few seconds.
_UNLOGGED = frozenset(("/health", "/ready", "/metrics"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

log = logger()


class HttpEdge:
    """Middleware around all routes. Pure ASGI, because bodies stream through it in both directions."""

    def __init__(self, app: ASGIApp, metrics: Metrics, forwarding: Forwarding) -> None:
        self._app = app
        self._forwarding = forwarding
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Other scopes than HTTP are passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        try:
            await self._serve(scope, receive, answer, request_id)
        except ClientDisconnect:
            log.debug("client went away", path=scope["path"])
        except Exception as error:  # noqa: BLE001 - the edge: nothing may escape as text
            await _refuse(error, scope, receive, answer)
        finally:
            took_s = time.perf_counter() - started
            self._metrics.observe(scope, answer.status, took_s)
            _log(scope, answer.status, took_s, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        # The registry is asked in the grid's name until the caller is known.
        caller.set_caller(Caller(None, internal=False, request_id=request_id))
        doorkeeper: HttpAuthenticator = scope["app"].state.doorkeeper
        forwarded_to = self._forwarding.note(scope)
        caller.set_caller(await doorkeeper.identify(scope, request_id, forwarded_to))
        await self._app(scope, receive, send)


class _Answer:
    """Passes an answer on with the request id added, and records its status (0 until it has begun)."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._header = (b"x-request-id", request_id.encode())
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)


async def _refuse(error: Exception, scope: Scope, receive: Receive, answer: _Answer) -> None:
    if answer.status:
        # Too late for another status: the server cuts the connection of an incomplete body.
        log.error("answer broke off", path=scope["path"], exc_info=error)
        return
    await problems.response(error, scope["path"])(scope, receive, answer)


def _log(scope: Scope, status: int, took_s: float, request_id: str) -> None:
    if scope["path"] not in _UNLOGGED:
        log_call(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status or CLIENT_LEFT,
            ms=round(took_s * 1000, 3),
            request_id=request_id,
            job_id=scope.get("job_id", ""),
        )


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the client's request id if it is safe to log, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return caller.new_request_id()
