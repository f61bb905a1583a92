"""Outgoing gRPC: a stub that carries the caller's identity and raises our own errors."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc.aio

from nanogrid import context
from nanogrid.status import from_rpc

Stub = TypeVar("Stub")

MAX_MESSAGE_BYTES = 40 * 1024 * 1024  # a 32 MB payload or result and its envelope

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Find a peer that vanished without a FIN while a call of many minutes is open.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # A restarted peer should be found within a second, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def outgoing_metadata(token: str) -> tuple[tuple[str, str], ...]:
    """What a call made on behalf of the current caller carries."""
    who = context.caller()
    metadata = [(context.REQUEST_ID_KEY, who.request_id or context.new_request_id())]
    if who.principal is not None:
        metadata.append((context.PRINCIPAL_KEY, who.principal))
    if token:
        metadata.append((context.TOKEN_KEY, token))
    return tuple(metadata)


@asynccontextmanager
async def open_stub(stub: Callable[[grpc.aio.Channel], Stub], address: str, *, token: str = "") -> AsyncIterator[Stub]:
    """Connect lazily to `address` (host:port) and yield a stub whose calls carry the caller and the internal token.

    Unary answers raise NanoGridError; so does iterating a streaming answer. A peer that is down raises
    UnavailableError at the call, never here.
    """
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        opened = stub(channel)
        for name, call in list(vars(opened).items()):
            streaming = isinstance(call, grpc.aio.UnaryStreamMultiCallable | grpc.aio.StreamStreamMultiCallable)
            setattr(opened, name, (_streaming if streaming else _unary)(call, address, token))
        yield opened


def _unary(call: Callable[..., Awaitable[Any]], peer: str, token: str) -> Callable[..., Awaitable[Any]]:
    async def run(request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - it is the gRPC deadline
        try:
            return await call(request, timeout=timeout, metadata=outgoing_metadata(token))
        except grpc.aio.AioRpcError as failure:
            raise from_rpc(failure, peer) from None

    return run


def _streaming(call: Callable[..., AsyncIterable[Any]], peer: str, token: str) -> Callable[..., AsyncIterator[Any]]:
    async def run(request: Any, *, timeout: float | None = None) -> AsyncIterator[Any]:  # noqa: ASYNC109 - see above
        try:
            async for message in call(request, timeout=timeout, metadata=outgoing_metadata(token)):
                yield message
        except grpc.aio.AioRpcError as failure:
            raise from_rpc(failure, peer) from None

    return run
