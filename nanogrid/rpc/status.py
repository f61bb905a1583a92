"""Converts NanoGridErrors to `google.rpc.Status` with `ErrorInfo` and back."""

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from nanogrid.errors import ConnectionLostError, InternalError, InvalidFieldError, NanoGridError, by_reason

DOMAIN = "nanogrid"
_DETAILS_KEY = "grpc-status-details-bin"  # where gRPC carries a google.rpc.Status

# Codes of gRPC itself, which have no ErrorInfo and mean that the peer did not answer.
_TRANSPORT = frozenset((StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED))


def trailing_metadata(error: NanoGridError) -> tuple[tuple[str, bytes], ...]:
    """Return an error as trailing metadata for `ServicerContext.abort`: a `google.rpc.Status` with one `ErrorInfo`."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    detail = AnyMessage()
    detail.Pack(info)
    number: code_pb2.Code = StatusCode[error.code].value[0]
    status = status_pb2.Status(code=number, message=error.message, details=[detail])
    return ((_DETAILS_KEY, status.SerializeToString()),)


def from_rpc(failure: AioRpcError, peer: str) -> NanoGridError:
    """Return the error that a servicer raised, from the error of its stub.

    A peer that does not answer becomes ConnectionLostError, because the request was sent. Other failures without our
    ErrorInfo become InternalError. `peer` is a name for users, never an address.
    """
    for key, value in failure.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == DOMAIN:
                    return by_reason(info.reason, status.message, dict(info.metadata))
    if failure.code() in _TRANSPORT:
        return ConnectionLostError(f"{peer} does not answer; try again")
    if failure.code() is StatusCode.INVALID_ARGUMENT:
        return InvalidFieldError("request", "is not the protobuf message this call takes")
    return InternalError(f"{peer} failed")
