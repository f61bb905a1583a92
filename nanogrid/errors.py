"""The table of platform errors: Python class, gRPC code, reason on the wire, HTTP status.

Failures of functions are not errors but data in their job (`JobError`).
"""

from typing import ClassVar

__all__ = [
    "ArchiveRejectedError",
    "BadSettingError",
    "ConflictError",
    "ConnectionLostError",
    "ForeignPageError",
    "InternalError",
    "InvalidFieldError",
    "NanoGridError",
    "NotFoundError",
    "OperatorsOnlyError",
    "OutcomeUnknownError",
    "PreconditionFailedError",
    "RangeNotSatisfiableError",
    "RateLimitedError",
    "RuntimeNotSupportedError",
    "StartError",
    "TooLargeError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnprocessableError",
    "UnsupportedMediaTypeError",
    "by_reason",
]


class StartError(Exception):
    """A process or a grid cannot start. The message names the reason and the cure."""


class BadSettingError(StartError):
    """A setting can never work. The message names it and a valid value."""


class NanoGridError(Exception):
    """A failure of the platform or of the request, safe to show to the caller.

    `metadata` (string to string) is sent with it. Its `field` names the invalid input.
    """

    code: ClassVar[str] = "INTERNAL"  # the name of its gRPC status code
    reason: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class InternalError(NanoGridError):
    """A fault of NanoGrid. Details are in the log, never in the message."""


class InvalidFieldError(NanoGridError):
    """A field is missing or out of range. The message names the field and the cure."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"
    http_status = 400

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message if field in message else f"{field}: {message}", field=field)


class ArchiveRejectedError(NanoGridError):
    """The upload is not an archive that NanoGrid unpacks."""

    code = "INVALID_ARGUMENT"
    reason = "ARCHIVE_REJECTED"
    http_status = 400


class RuntimeNotSupportedError(NanoGridError):
    """No executor of this grid offers the runtime."""

    code = "INVALID_ARGUMENT"
    reason = "RUNTIME_NOT_SUPPORTED"
    http_status = 400


class UnauthenticatedError(NanoGridError):
    """The API key is missing or invalid."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"
    http_status = 401


class OperatorsOnlyError(NanoGridError):
    """Only the grid's own services and its operators may make this call."""

    code = "PERMISSION_DENIED"
    reason = "OPERATORS_ONLY"
    http_status = 403


class ForeignPageError(NanoGridError):
    """A browser sent the request for a page of another site to a gateway without API keys."""

    code = "PERMISSION_DENIED"
    reason = "FOREIGN_PAGE"
    http_status = 403


class NotFoundError(NanoGridError):
    """The resource does not exist or belongs to another owner. Callers cannot tell the two apart."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"
    http_status = 404


class ConflictError(NanoGridError):
    """The resource exists already, or changed in between."""

    code = "ALREADY_EXISTS"
    reason = "CONFLICT"
    http_status = 409


class TooLargeError(NanoGridError):
    """An input is larger than its limit. The message has both numbers."""

    code = "OUT_OF_RANGE"
    reason = "TOO_LARGE"
    http_status = 413

    def __init__(self, what: str, *, limit: int, actual: int | None = None, unit: str = "bytes") -> None:
        found = f"over {limit}" if actual is None else str(actual)
        super().__init__(
            f"{what} is {found} {unit}; the limit is {limit} {unit}",
            field=what,
            limit=str(limit),
            actual=found,
        )


class UnsupportedMediaTypeError(NanoGridError):
    """The call does not accept the body's media type."""

    code = "INVALID_ARGUMENT"
    reason = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415


class RangeNotSatisfiableError(NanoGridError):
    """The file has no byte in the requested range."""

    code = "OUT_OF_RANGE"
    reason = "RANGE_NOT_SATISFIABLE"
    http_status = 416


class PreconditionFailedError(NanoGridError):
    """The file is not in the version that the request requires."""

    code = "FAILED_PRECONDITION"
    reason = "PRECONDITION_FAILED"
    http_status = 412


class UnprocessableError(NanoGridError):
    """The request is well-formed but contradicts an earlier one."""

    code = "FAILED_PRECONDITION"
    reason = "UNPROCESSABLE"
    http_status = 422


class RateLimitedError(NanoGridError):
    """The caller sent too many requests and may try later."""

    code = "RESOURCE_EXHAUSTED"
    reason = "RATE_LIMITED"
    http_status = 429
    retryable = True


class UnavailableError(NanoGridError):
    """A backend is down. Nothing was accepted, so a retry is safe."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"
    http_status = 503
    retryable = True


class ConnectionLostError(UnavailableError):
    """The connection to a peer broke after the request was sent. It may have been accepted."""


class OutcomeUnknownError(NanoGridError):
    """The connection broke after a request was sent, and its outcome could not be found out.

    `job_id` names the job, whose status can be read later.
    """

    code = "DEADLINE_EXCEEDED"
    reason = "OUTCOME_UNKNOWN"
    http_status = 504

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"the connection broke before the answer came; ask GET /status/{job_id}, where 404 means: not accepted",
            job_id=job_id,
        )


_BY_REASON: dict[str, type[NanoGridError]] = {
    cls.reason: cls
    for cls in (
        InternalError,
        InvalidFieldError,
        ArchiveRejectedError,
        RuntimeNotSupportedError,
        UnauthenticatedError,
        OperatorsOnlyError,
        ForeignPageError,
        NotFoundError,
        ConflictError,
        TooLargeError,
        UnsupportedMediaTypeError,
        RangeNotSatisfiableError,
        PreconditionFailedError,
        UnprocessableError,
        RateLimitedError,
        UnavailableError,
        OutcomeUnknownError,
    )
}


def by_reason(reason: str, message: str, metadata: dict[str, str]) -> NanoGridError:
    """Rebuild the error that a peer sent. An unknown reason becomes InternalError."""
    cls = _BY_REASON.get(reason, InternalError)
    error = cls.__new__(cls)
    NanoGridError.__init__(error, message, **metadata)
    return error
