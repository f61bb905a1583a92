"""Runs gRPC servers with health checks, reflection, an edge around every servicer and graceful shutdown."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc.aio
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nanogrid.errors import StartError
from nanogrid.heap import freeze_heap
from nanogrid.logs import logger
from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.client import KEEPALIVE_MS, MAX_MESSAGE_BYTES
from nanogrid.rpc.edge import ServicerEdge
from nanogrid.rpc.health import DependencyHealth, Probe

log = logger()

GRACE_S = 10.0  # for running calls to finish after SIGTERM

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Beyond this number gRPC cancels pending calls at random. Its default is 1000, but thousands of waiters are normal.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, not load balancing
    # Accepts our clients' keepalives. By default the server answers frequent pings with GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 3),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass(frozen=True, slots=True)
class Bound:
    """A servicer and `register`, the generated `add_…Servicer_to_server` for it."""

    descriptor: ServiceDescriptor
    register: Callable[[Any, Any], None]
    servicer: Any


@asynccontextmanager
async def serving(
    listen: str,
    authenticator: Authenticator,
    services: Sequence[Bound],
    probes: Mapping[str, Probe] = MappingProxyType({}),
) -> AsyncIterator[int]:
    """Serve until the block ends, then give running calls GRACE_S to finish. Yields the port. `:0` picks a free one.

    `probes` maps the names of dependencies to the probes of the health service.
    """
    server = grpc.aio.server(options=OPTIONS)
    edge = ServicerEdge(server, authenticator)
    checker = DependencyHealth(probes)
    # Health and reflection need no authentication: load balancers and grpcurl use them, and they reveal no user data.
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    names = [health.SERVICE_NAME, reflection.SERVICE_NAME]
    for bound in services:
        bound.register(bound.servicer, edge)
        names.append(bound.descriptor.full_name)
        await checker.set(bound.descriptor.full_name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port(listen)
    await server.start()
    await checker.set("", health_pb2.HealthCheckResponse.SERVING)
    freeze_heap()
    log.info("serving", listen=listen, port=port)
    try:
        yield port
    finally:
        await checker.enter_graceful_shutdown()
        await server.stop(GRACE_S)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a service's main coroutine on uvloop."""

    async def entry() -> None:
        await main()

    try:
        uvloop.run(entry())
    except StartError as failure:
        log.error("cannot start", reason=str(failure))  # noqa: TRY400 - the message is enough, a traceback adds nothing
        raise SystemExit(1) from None
