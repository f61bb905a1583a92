"""Opens channels to the three services behind the gateway, and caches the runtimes that executors offer."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache
from grpc_health.v1 import health_pb2_grpc
from starlette.requests import Request

from gateway.settings import GatewaySettings
from nanogrid.errors import UnavailableError
from nanogrid.rpc.client import open_stub
from nanogrid.runtimes import Runtime, resolve
from nanogrid.v1 import artifacts_pb2_grpc, invoker_pb2_grpc, registry_pb2_grpc
from nanogrid.v1.invoker_pb2 import ListExecutorsRequest

ANSWER_S = 10.0  # deadline of calls that only look something up
_OFFERED = "offered"
OFFERED_S = 2.0  # maximum age of the list of offered runtimes


class OfferedRuntimes:
    """Caches the runtimes that live executors offer for OFFERED_S seconds. For one event loop."""

    def __init__(
        self, invoker: "invoker_pb2_grpc.InvokerServiceAsyncStub", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._invoker = invoker
        self._names: TTLCache[str, frozenset[str]] = TTLCache(1, OFFERED_S, clock)

    async def names(self) -> frozenset[str]:
        """Return canonical names. Empty without an executor or invoker, because an upload need not wait for one."""
        if (names := self._names.get(_OFFERED)) is None:
            try:
                answer = await self._invoker.ListExecutors(ListExecutorsRequest(), timeout=ANSWER_S)
            except UnavailableError:
                return frozenset()
            names = self._names[_OFFERED] = frozenset(name for one in answer.executors for name in one.runtimes)
        return names


@dataclass(frozen=True, slots=True)
class Backends:
    """Stubs of the services. `health` is by service name."""

    registry: "registry_pb2_grpc.RegistryServiceAsyncStub"
    artifacts: "artifacts_pb2_grpc.ArtifactsServiceAsyncStub"
    invoker: "invoker_pb2_grpc.InvokerServiceAsyncStub"
    offered: OfferedRuntimes
    health: dict[str, Any]  # HealthStub, for which the types declare no methods


def of(request: Request) -> Backends:
    """Return the backends of the application that serves a request."""
    backends: Backends = request.app.state.backends
    return backends


def settings_of(request: Request) -> GatewaySettings:
    """Return the settings of the application that serves a request."""
    settings: GatewaySettings = request.app.state.settings
    return settings


async def resolve_runtime(request: Request, name: str) -> Runtime:
    """Return the offered runtime that a caller's name means. RuntimeNotSupportedError lists the offered ones."""
    offered = await of(request).offered.names()
    return resolve(name, offered, stand_ins=settings_of(request).runtime_stand_ins)


@asynccontextmanager
async def open_backends(settings: GatewaySettings) -> AsyncIterator[Backends]:
    """Open channels to the services, which need not be up. Calls to one that is down raise UnavailableError."""
    token = settings.internal_token
    addresses = {
        "registry": settings.registry_address,
        "artifacts": settings.artifacts_address,
        "invoker": settings.invoker_address,
    }
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        invoker = await enter(open_stub(invoker_pb2_grpc.InvokerServiceStub, addresses["invoker"], token=token))
        yield Backends(
            registry=await enter(open_stub(registry_pb2_grpc.RegistryServiceStub, addresses["registry"], token=token)),
            artifacts=await enter(
                open_stub(artifacts_pb2_grpc.ArtifactsServiceStub, addresses["artifacts"], token=token)
            ),
            invoker=invoker,
            offered=OfferedRuntimes(invoker),
            health={
                name: await enter(open_stub(health_pb2_grpc.HealthStub, address)) for name, address in addresses.items()
            },
        )
