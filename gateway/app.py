"""Composition root of the gateway: builds its routes and middleware, and opens its channels."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.auth import HttpAuthenticator
from gateway.backends import open_backends
from gateway.edge import HttpEdge
from gateway.fast_path import Gateway
from gateway.forwarded import Forwarding
from gateway.metrics import Metrics
from gateway.rest import openapi, problems
from gateway.routes import functions, jobs, operators, ops, outputs, uploads
from gateway.settings import GatewaySettings
from nanogrid.heap import freeze_heap


def create_app(settings: GatewaySettings) -> Gateway:
    """Return the gateway as an ASGI application. Its channels are open while it runs."""
    app = Gateway(
        title="NanoGrid",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        lifespan=partial(_lifespan, settings),
        docs_url=None,  # FastAPI's pages load scripts from the internet. The page of routes/ops does not
        redoc_url=None,
        redirect_slashes=False,
    )
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]  # FastAPI's documented way
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.add_middleware(HttpEdge, metrics=app.state.metrics, forwarding=Forwarding(settings))
    app.add_exception_handler(HTTPException, problems.handle)
    app.add_exception_handler(RequestValidationError, problems.handle)
    for room in (uploads, functions, jobs, outputs, operators, ops):
        app.include_router(room.router)
    return app


@asynccontextmanager
async def _lifespan(settings: GatewaySettings, app: FastAPI) -> AsyncIterator[None]:
    async with open_backends(settings) as backends:
        app.state.backends = backends
        app.state.doorkeeper = HttpAuthenticator(settings, backends.registry)
        freeze_heap()
        yield
