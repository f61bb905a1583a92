"""Serves the two busiest routes without FastAPI's own layers, which would cost 0.1 ms a request.

The routes stay registered in `gateway/routes/jobs.py`, for OpenAPI and for other methods. Every middleware of the
application wraps the fast path, too, and a route with dependencies is left to FastAPI.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.routes import jobs

_RUN, _STATUS, _JOB = "/run", "/status/", "/status/{job_id}"

Answer = Callable[[Request], Awaitable[Response]]


class Gateway(FastAPI):
    """FastAPI with the fast path always as its innermost middleware."""

    _given_dependencies = False  # a router was included with dependencies

    def build_middleware_stack(self) -> ASGIApp:
        """Build FastAPI's stack with the fast path next to the router."""
        added = self.user_middleware
        self.user_middleware = [*added, Middleware(FastPath, routes=self._fast_routes())]
        try:
            return super().build_middleware_stack()
        finally:
            self.user_middleware = added

    def include_router(self, router: APIRouter, *args: Any, **kwargs: Any) -> None:
        """Include a router, and record whether dependencies were given with it."""
        self._given_dependencies |= bool(kwargs.get("dependencies"))
        super().include_router(router, *args, **kwargs)

    def _fast_routes(self) -> Mapping[str, APIRoute]:
        """Return the routes by path that have no dependencies, which FastAPI would have to run."""
        if self._given_dependencies or self.router.dependencies or jobs.router.dependencies:
            return {}
        routes = (route for route in jobs.router.routes if isinstance(route, APIRoute))
        return {route.path: route for route in routes if not route.dependencies}


class FastPath:
    """Serves the two routes and passes every other request on."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, APIRoute]) -> None:
        self._app = app
        self._run, self._job = routes.get(_RUN), routes.get(_JOB)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass it on."""
        if scope["type"] != "http" or (answer := self._find(scope)) is None:
            await self._app(scope, receive, send)
            return
        response = await answer(Request(scope, receive))
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> Answer | None:
        method, path = scope["method"], scope["path"]
        if path == _RUN and method == "POST" and self._run is not None:
            scope["route"] = self._run
            return jobs.run
        job_id = path.removeprefix(_STATUS)
        if method == "GET" and job_id != path and job_id and "/" not in job_id and self._job is not None:
            scope["route"] = self._job
            return lambda request: jobs.get_job(request, job_id)
        return None
