"""What balancers, monitors and newcomers ask for."""

import asyncio
from pathlib import Path

import orjson
from fastapi import APIRouter
from grpc_health.v1 import health_pb2
from starlette.requests import Request
from starlette.responses import Response

from gateway import backends
from gateway.metrics import Metrics
from gateway.rest import openapi
from nanogrid.errors import NanoGridError

router = APIRouter()

_READY_S = 1.0  # a dependency that takes longer to say that it is well is not
_HEALTHY = orjson.dumps({"status": "healthy"})
_PAGE = Path(__file__).parent.parent.joinpath("docs.html").read_bytes()
_PAGE_POLICY = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@router.head("/health", include_in_schema=False)
@router.get("/health", openapi_extra=openapi.HEALTH)
async def health() -> Response:
    """Say that this process serves; asks nobody."""
    return Response(_HEALTHY, media_type="application/json")


@router.get("/ready", openapi_extra=openapi.READY)
async def ready(request: Request) -> Response:
    """Say whether every service behind the gateway serves."""
    grid = backends.of(request)
    states = dict(zip(grid.health, await asyncio.gather(*(_state(grid, name) for name in grid.health)), strict=True))
    good = all(state == "serving" for state in states.values())
    body = {"status": "ready" if good else "unready", "dependencies": states}
    return Response(orjson.dumps(body), 200 if good else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, openapi_extra=openapi.METRICS)
async def metrics(request: Request) -> Response:
    """Counters for Prometheus; takes an API key like any other route."""
    counters: Metrics = request.app.state.metrics
    return counters.response()


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """The contract as a page; it loads nothing from anywhere else."""
    return Response(_PAGE, headers={"content-security-policy": _PAGE_POLICY}, media_type="text/html")


async def _state(grid: backends.Backends, name: str) -> str:
    try:
        answer = await grid.health[name].Check(health_pb2.HealthCheckRequest(), timeout=_READY_S)
    except NanoGridError:
        return "unreachable"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status).lower()
