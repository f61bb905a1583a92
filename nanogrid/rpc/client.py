"""Outgoing gRPC: a stub that carries the caller's identity and raises our own errors."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc.aio

from nanogrid import caller
from nanogrid.rpc.status import from_rpc

Stub = TypeVar("Stub")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # a record: a 32 MB result, and 1 MB each of stdout and stderr, escaped

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


def outgoing_metadata(token: str) -> grpc.aio.Metadata:
    """What a call made on behalf of the current caller carries."""
    who = caller.caller()
    metadata = grpc.aio.Metadata((caller.REQUEST_ID_KEY, who.request_id or caller.new_request_id()))
    if who.principal is not None:
        metadata.add(caller.PRINCIPAL_KEY, who.principal)
    if token:
        metadata.add(caller.TOKEN_KEY, token)
    return metadata


@asynccontextmanager
async def open_stub(stub: Callable[[grpc.aio.Channel], Stub], address: str, *, token: str = "") -> AsyncIterator[Stub]:
    """Connect lazily to `address` (host:port) and yield a stub whose calls carry the caller and the internal token.

    Unary answers raise NanoGridError; so does iterating a streaming answer. A peer that is down raises
    UnavailableError at the call, never here.
    """
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        opened = stub(channel)
        for name, call in list(vars(opened).items()):
            setattr(opened, name, _wrapper_of(call)(call, address, token))
        yield opened


def _wrapper_of(call: Any) -> Callable[[Any, str, str], Callable[..., Any]]:
    match call:
        case grpc.aio.UnaryStreamMultiCallable() | grpc.aio.StreamStreamMultiCallable():
            return _streaming
        case grpc.aio.StreamUnaryMultiCallable():
            return _uploading
        case _:
            return _unary


def _unary(call: Callable[..., Awaitable[Any]], peer: str, token: str) -> Callable[..., Awaitable[Any]]:
    async def run(request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - it is the gRPC deadline
        try:
            return await call(request, timeout=timeout, metadata=outgoing_metadata(token))
        except grpc.aio.AioRpcError as failure:
            raise from_rpc(failure, peer) from None

    return run


def _uploading(call: Callable[..., Any], peer: str, token: str) -> Callable[..., Awaitable[Any]]:
    def begin(requests: Any, *, timeout: float | None, metadata: Any) -> Any:
        begun = call(requests, timeout=timeout, metadata=metadata)
        begun._cython_call = _FirstStatus(begun._cython_call)  # noqa: SLF001 - see there
        return begun

    return _unary(begin, peer, token)


class _FirstStatus:
    """gRPC's own call, less a fault: a message that cannot be sent any more overwrites the status that came before it.

    A server that refuses an upload half way would seem to have failed. See grpc/grpc#36066; goes with its fix.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def set_internal_error(self, text: str) -> None:
        """Called when sending failed."""
        if not self._call.done():
            self._call.set_internal_error(text)


def _streaming(call: Callable[..., AsyncIterable[Any]], peer: str, token: str) -> Callable[..., AsyncIterator[Any]]:
    async def run(request: Any, *, timeout: float | None = None) -> AsyncIterator[Any]:  # noqa: ASYNC109 - see above
        try:
            async for message in call(request, timeout=timeout, metadata=outgoing_metadata(token)):
                yield message
        except grpc.aio.AioRpcError as failure:
            raise from_rpc(failure, peer) from None

    return run
