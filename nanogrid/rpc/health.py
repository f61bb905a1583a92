"""Serves the standard gRPC health service, which also reports the dependencies of a server by name."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from grpc_health.v1 import health, health_pb2

from nanogrid.errors import NanoGridError
from nanogrid.logs import logger

log = logger()

PROBE_S = 1.5  # a dependency that takes longer to answer counts as down

Probe = Callable[[], Awaitable[object]]

_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class DependencyHealth(health.aio.HealthServicer):
    """Answers `Check` for each name in `probes` by running its probe, and for other names as gRPC's servicer does."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        super().__init__()
        self._probes = probes

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802 - the contract names it
        if (probe := self._probes.get(request.service)) is None:
            return await super().Check(request, context)
        return health_pb2.HealthCheckResponse(status=_SERVING if await _works(request.service, probe) else _NOT_SERVING)


async def _works(name: str, probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except (NanoGridError, TimeoutError) as error:
        log.warning("a dependency does not work", dependency=name, error=str(error) or f"no answer in {PROBE_S:g} s")
        return False
    return True
