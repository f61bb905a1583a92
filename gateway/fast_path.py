"""The two busiest routes without FastAPI's layers around them, which cost 0.1 ms a request and have nothing to do here.

Both routes stay registered in `gateway/routes/jobs.py`: OpenAPI describes them, and other methods are answered there.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.edge import HttpEdge
from gateway.routes import jobs

_RUN, _STATUS = "/run", "/status/"

Answer = Callable[[Request], Awaitable[Response]]


class FastPath:
    """The gateway as the HTTP server sees it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._edge = HttpEdge(_serve, metrics=app.state.metrics)
        # By the path it was registered with, as the metrics label it.
        self._routes: dict[str, Any] = {getattr(route, "path", ""): route for route in jobs.router.routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand it to FastAPI."""
        if scope["type"] == "http" and (found := _find(scope["method"], scope["path"])) is not None:
            path, scope["answer"] = found
            scope["app"], scope["route"] = self._app, self._routes[path]
            await self._edge(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _find(method: str, path: str) -> tuple[str, Answer] | None:
    if path == _RUN and method == "POST":
        return _RUN, jobs.run
    job_id = path.removeprefix(_STATUS)
    if method == "GET" and job_id != path and job_id and "/" not in job_id:
        return "/status/{job_id}", lambda request: jobs.get_job(request, job_id)
    return None


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    response = await scope["answer"](Request(scope, receive))
    await response(scope, receive, send)
