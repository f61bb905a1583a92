"""Routes for balancers, monitoring and documentation."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
from grpc_health.v1 import health_pb2
from starlette.requests import Request
from starlette.responses import Response

from gateway import backends
from gateway.metrics import Metrics
from gateway.rest import openapi
from gateway.rest.routing import Router
from nanogrid.errors import NanoGridError
from nanogrid.v1.invoker_pb2 import ListExecutorsRequest
from nanogrid.v1.resources_pb2 import ExecutorInfo

router = Router()

_READY_S = 1.9  # a balancer waits for 2 s
# By the operator's name: the service to ask, and its dependency to ask about ("" = the service itself).
_DEPENDENCIES = {
    "registry": ("registry", ""),
    "artifacts": ("artifacts", ""),
    "invoker": ("invoker", ""),
    "redis": ("invoker", "redis"),
    "queue": ("invoker", "queue"),
    "functions table": ("registry", "table"),
    "object store": ("artifacts", "storage"),
}
_HEALTHY = orjson.dumps({"status": "healthy"})
_PAGE = Path(__file__).parent.parent.joinpath("docs.html").read_bytes()
_PAGE_POLICY = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@router.get("/health", openapi_extra=openapi.HEALTH)
async def health() -> Response:
    """Return 200 while this process serves, without asking other services."""
    return Response(_HEALTHY, media_type="application/json")


@router.get("/ready", openapi_extra=openapi.READY)
async def ready(request: Request) -> Response:
    """Report whether all services behind the gateway and their dependencies serve. Takes 2 s at most."""
    grid = backends.of(request)
    *found, executors = await asyncio.gather(*(_state(grid, *one) for one in _DEPENDENCIES.values()), _executors(grid))
    states = dict(zip(_DEPENDENCIES, found, strict=True))
    good = all(state == "serving" for state in states.values())
    body = {"status": "ready" if good else "unready", "dependencies": states, "executors": executors}
    return Response(orjson.dumps(body), 200 if good else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, openapi_extra=openapi.METRICS)
async def metrics(request: Request) -> Response:
    """Return metrics for Prometheus. Requires an API key like any other route."""
    counters: Metrics = request.app.state.metrics
    return counters.response(await _live(backends.of(request)) or [])


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """Return the API documentation as a page that loads nothing from other hosts."""
    return Response(_PAGE, headers={"content-security-policy": _PAGE_POLICY}, media_type="text/html")


async def _state(grid: backends.Backends, service: str, dependency: str) -> str:
    try:
        async with asyncio.timeout(_READY_S):
            answer = await grid.health[service].Check(health_pb2.HealthCheckRequest(service=dependency))
    except TimeoutError:
        return "silent"
    except NanoGridError:
        return "unreachable"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status).lower()


async def _live(grid: backends.Backends) -> list[ExecutorInfo] | None:
    """Return the live executors, None while they are unknown."""
    try:
        async with asyncio.timeout(_READY_S):
            return list((await grid.invoker.ListExecutors(ListExecutorsRequest())).executors)
    except (TimeoutError, NanoGridError):
        return None


async def _executors(grid: backends.Backends) -> dict[str, Any]:
    """Return the number of live executors (None while unknown) and the problems they announce."""
    if (found := await _live(grid)) is None:
        return {"alive": None, "runtimes": [], "problems": {}}
    return {
        "alive": len(found),
        "runtimes": sorted({name for one in found for name in one.runtimes}),
        "problems": {one.executor_id: one.problem for one in found if one.problem},
    }
