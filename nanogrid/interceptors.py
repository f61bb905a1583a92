"""What every incoming RPC passes: identity, log context, and the one place where exceptions become statuses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc.aio import ServicerContext

from nanogrid import context
from nanogrid.auth import Authenticator
from nanogrid.errors import InternalError, InvalidFieldError, NanoGridError
from nanogrid.logs import logger
from nanogrid.status import trailing_metadata

_OPEN = ("/grpc.health.v1.", "/grpc.reflection.")  # asked by load balancers and grpcurl, tell nothing of users

log = logger()


class EdgeInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # the stubs leave its parent untyped
    """Identifies the caller, then runs the servicer; any exception leaves as a `google.rpc.Status`.

    Only NanoGridErrors keep their text. Everything else is logged and becomes INTERNAL without a word of it.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Awaitable[grpc.RpcMethodHandler[Any, Any]]"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":  # quoted: generic in the stubs only
        """Wrap the method's behaviour; open methods pass as they are."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler
        if handler.response_streaming:
            make, run = _streaming_maker(handler), self._stream(handler, method)
        else:
            make, run = _unary_maker(handler), self._unary(handler, method)
        return make(run, _tolerant(handler.request_deserializer), handler.response_serializer)  # type: ignore[no-any-return]

    def _unary(self, handler: Any, method: str) -> Callable[[Any, ServicerContext[Any, Any]], Awaitable[Any]]:
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def run(request: Any, call: ServicerContext[Any, Any]) -> Any:
            try:
                await self._enter(call, request)
                return await behaviour(request, call)
            except Exception as error:  # noqa: BLE001 - the edge: nothing may escape as text
                await _abort(call, error, method)

        return run

    def _stream(self, handler: Any, method: str) -> Callable[[Any, ServicerContext[Any, Any]], AsyncIterator[Any]]:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def run(request: Any, call: ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            try:
                await self._enter(call, request)
                async for message in behaviour(request, call):
                    yield message
            except Exception as error:  # noqa: BLE001 - the edge: nothing may escape as text
                await _abort(call, error, method)

        return run

    async def _enter(self, call: ServicerContext[Any, Any], request: Any) -> None:
        if isinstance(request, _Garbage):
            raise InvalidFieldError("request", "is not the protobuf message this call takes")
        metadata = {key: str(value) for key, value in call.invocation_metadata() or ()}
        who = await self._authenticator.identify(metadata)
        context.set_caller(who)
        structlog.contextvars.bind_contextvars(request_id=who.request_id)


class _Garbage:
    """Stands in for request bytes that are not a message."""


def _tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def run(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _Garbage()

    return run


def _unary_maker(handler: Any) -> Any:
    return grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler


def _streaming_maker(handler: Any) -> Any:
    return grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler


async def _abort(call: ServicerContext[Any, Any], error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, NanoGridError):
        log.error("rpc failed", method=method, exc_info=error)
        error = InternalError("internal error; the log has it under the request id")
    await call.abort(error.code, error.message, trailing_metadata(error))
