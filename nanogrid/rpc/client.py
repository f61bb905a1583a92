"""Opens gRPC stubs that send the caller's identity and raise NanoGrid's errors."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc.aio
from grpc import ChannelConnectivity

from nanogrid import caller
from nanogrid.errors import UnavailableError
from nanogrid.rpc.status import from_rpc

Stub = TypeVar("Stub")

_READY = ChannelConnectivity.READY
_DOWN = (ChannelConnectivity.TRANSIENT_FAILURE, ChannelConnectivity.SHUTDOWN)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # of a record with a 32 MB result, and 1 MB each of stdout and stderr, escaped

# Lowered by tests whose calls last for many keepalives.
KEEPALIVE_MS = int(1000 * float(os.environ.get("NANOGRID_RPC_KEEPALIVE_S", "30")))

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Detects a peer that disappeared without a FIN during a call of many minutes. No data is sent meanwhile, so the
    # number of pings without data is not limited. The server's `min_ping_interval_without_data_ms` must be below this.
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", min(10_000, KEEPALIVE_MS)),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted peer is found within a second instead of gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def outgoing_metadata(token: str) -> grpc.aio.Metadata:
    """Return the metadata of a call made for the current caller."""
    who = caller.caller()
    metadata = grpc.aio.Metadata((caller.REQUEST_ID_KEY, who.request_id or caller.new_request_id()))
    if who.principal is not None:
        metadata.add(caller.PRINCIPAL_KEY, who.principal)
    if token:
        metadata.add(caller.TOKEN_KEY, token)
    return metadata


@asynccontextmanager
async def open_stub(stub: Callable[[grpc.aio.Channel], Stub], address: str, *, token: str = "") -> AsyncIterator[Stub]:
    """Connect lazily to `address` (host:port) and yield a stub. Its calls send the caller and the internal token.

    Unary calls raise NanoGridError, and so does iterating a streaming answer. When the peer is down, the call raises
    UnavailableError, not this function.
    """
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        opened = stub(channel)
        peer = _Peer(channel, _name_of(opened))
        for name, call in list(vars(opened).items()):
            setattr(opened, name, _wrapper_of(call)(call, peer, token))
        yield opened


@dataclass(frozen=True, slots=True)
class _Peer:
    """The peer of a channel. Users see its name, because an address would reveal the inside of the grid."""

    channel: grpc.aio.Channel
    name: str

    async def connected(self) -> None:
        """Return once the channel is connected. UnavailableError when it fails, which means that nothing was sent."""
        state = self.channel.get_state(try_to_connect=True)
        while state is not _READY:
            if state in _DOWN:
                raise UnavailableError(f"{self.name} cannot be reached; nothing was accepted, try again")
            await self.channel.wait_for_state_change(state)
            state = self.channel.get_state(try_to_connect=True)


def _name_of(stub: object) -> str:
    """Return the service's name for users: "the registry service" for RegistryServiceStub."""
    return f"the {type(stub).__name__.removesuffix('Stub').removesuffix('Service').lower()} service"


def _wrapper_of(call: Any) -> Callable[[Any, _Peer, str], Callable[..., Any]]:
    match call:
        case grpc.aio.UnaryStreamMultiCallable() | grpc.aio.StreamStreamMultiCallable():
            return _streaming
        case grpc.aio.StreamUnaryMultiCallable():
            return _uploading
        case _:
            return _unary


def _unary(call: Callable[..., Awaitable[Any]], peer: _Peer, token: str) -> Callable[..., Awaitable[Any]]:
    async def run(request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - it is the gRPC deadline
        try:
            if peer.channel.get_state() is not _READY:
                async with asyncio.timeout(timeout):
                    await peer.connected()
            return await call(request, timeout=timeout, metadata=outgoing_metadata(token))
        except TimeoutError:
            raise UnavailableError(f"{peer.name} cannot be reached; nothing was accepted, try again") from None
        except grpc.aio.AioRpcError as failure:
            raise from_rpc(failure, peer.name) from None

    return run


def _uploading(call: Callable[..., Any], peer: _Peer, token: str) -> Callable[..., Awaitable[Any]]:
    def begin(requests: Any, *, timeout: float | None, metadata: Any) -> Any:
        begun = call(requests, timeout=timeout, metadata=metadata)
        begun._cython_call = _FirstStatus(begun._cython_call)  # noqa: SLF001 - see _FirstStatus
        return begun

    return _unary(begin, peer, token)


class _FirstStatus:
    """Wraps gRPC's call, where a failed send overwrites a status that was received before it.

    Without it, a server that refuses an upload half way seems to have failed. Remove it once grpc/grpc#36066 is fixed.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def set_internal_error(self, text: str) -> None:
        """Set the error of a failed send, unless there is a status already."""
        if not self._call.done():
            self._call.set_internal_error(text)


def _streaming(call: Callable[..., AsyncIterable[Any]], peer: _Peer, token: str) -> Callable[..., AsyncIterator[Any]]:
    async def run(request: Any, *, timeout: float | None = None) -> AsyncIterator[Any]:  # noqa: ASYNC109 - see above
        try:
            if peer.channel.get_state() is not _READY:
                await peer.connected()
            async for message in call(request, timeout=timeout, metadata=outgoing_metadata(token)):
                yield message
        except grpc.aio.AioRpcError as failure:
            raise from_rpc(failure, peer.name) from None

    return run
