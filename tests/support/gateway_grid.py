"""Runs the real gateway and registry on real ports, with stand-ins for artifacts and invoker."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.__main__ import server
from gateway.settings import GatewaySettings
from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.health import Probe
from nanogrid.rpc.server import Bound, serving
from nanogrid.v1 import artifacts_pb2, artifacts_pb2_grpc, invoker_pb2, invoker_pb2_grpc, registry_pb2_grpc
from nanogrid.v1.registry_pb2 import CreateApiKeyRequest, DeleteFunctionRequest, ListFunctionsRequest
from services.registry.bootstrap import open_registry
from services.registry.settings import RegistrySettings
from support.fake_artifacts import FakeArtifacts
from support.fake_invoker import FakeInvoker
from support.waiting import WATCHDOG_S, until

TOKEN = "the-grids-own"


@dataclass(frozen=True, slots=True)
class GatewayGrid:
    """A running gateway with its backends. `http` sends the API key of `kim`, where keys are required."""

    http: httpx.AsyncClient
    artifacts: FakeArtifacts
    invoker: FakeInvoker
    registry: Any  # a stub with the grid's internal token
    url: str

    async def clean(self) -> "GatewayGrid":
        """Reset everything, for the next test of a module that shares one grid."""
        self.artifacts.__init__()  # type: ignore[misc]
        self.invoker.__init__()  # type: ignore[misc]
        listed = await self.registry.ListFunctions(ListFunctionsRequest(page_size=100))
        for function in listed.functions:
            await self.registry.DeleteFunction(DeleteFunctionRequest(function_id=function.function_id))
        return self

    async def key_of(self, principal: str) -> dict[str, str]:
        """Create an API key for a principal and return the headers with it."""
        made = await self.registry.CreateApiKey(CreateApiKeyRequest(principal=principal))
        return {"authorization": f"Bearer {made.secret}"}


@asynccontextmanager
async def gateway_grid(folder: Path, **settings: Any) -> AsyncIterator[GatewayGrid]:
    """Start everything on free ports. `settings` are the gateway's. Authentication is on by default."""
    artifacts, invoker = FakeArtifacts(), FakeInvoker()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        registry = await enter(
            open_registry(
                RegistrySettings(data_dir=folder, registry_listen="127.0.0.1:0", auth="on", internal_token=TOKEN)
            )
        )
        artifacts_port = await enter(
            _serving(artifacts_pb2, "ArtifactsService", artifacts_pb2_grpc, artifacts, {"storage": _well})
        )
        invoker_port = await enter(_serving(invoker_pb2, "InvokerService", invoker_pb2_grpc, invoker, invoker.probes()))
        known: dict[str, Any] = {
            "registry_address": f"127.0.0.1:{registry}",
            "artifacts_address": f"127.0.0.1:{artifacts_port}",
            "invoker_address": f"127.0.0.1:{invoker_port}",
            "auth": "on",
            "internal_token": TOKEN,
        }
        url = await enter(running_gateway(GatewaySettings(**(known | settings))))
        stub = await enter(open_stub(registry_pb2_grpc.RegistryServiceStub, f"127.0.0.1:{registry}", token=TOKEN))
        # There is no TLS here, and loading certificates would take longer than a test.
        http = await enter(httpx.AsyncClient(base_url=url, timeout=WATCHDOG_S, trust_env=False, verify=False))
        grid = GatewayGrid(http, artifacts, invoker, stub, url)
        http.headers.update(await grid.key_of("kim"))
        yield grid


@asynccontextmanager
async def running_gateway(settings: GatewaySettings) -> AsyncIterator[str]:
    """Run the gateway's HTTP server on a free port and yield its URL."""
    # Without the protocol number asyncio leaves Nagle's algorithm on, and every answer waits 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        gateway = server(settings)
        task = asyncio.create_task(gateway.serve([listening]))
        await until(lambda: gateway.started or task.done())
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            gateway.should_exit = True
            await task


def _serving(messages: Any, name: str, rpcs: Any, servicer: Any, probes: dict[str, Probe]) -> Any:
    bound = Bound(messages.DESCRIPTOR.services_by_name[name], getattr(rpcs, f"add_{name}Servicer_to_server"), servicer)
    authenticator = Authenticator(required=True, internal_token=TOKEN, verify=_nobody)
    return serving("127.0.0.1:0", authenticator, [bound], probes)


async def _well() -> None:
    """Succeed always."""


async def _nobody(_: str) -> str:
    raise AssertionError("the gateway proves itself with the token")
