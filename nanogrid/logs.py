"""Writes structured logs: a JSON object a line on standard error, with `service`, `request_id`, `job_id` if known."""

import logging
import sys
from typing import cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from nanogrid import caller
from nanogrid.call_log import configure_calls


def configure(service: str, level: str = "INFO") -> None:
    """Set up logging for the process. Call once, before anything logs or opens a gRPC object."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    configure_calls(service, enabled=logging.getLevelNamesMapping()[level.upper()] <= logging.INFO)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")


def logger() -> FilteringBoundLogger:
    """Return a logger. Its lines contain the variables bound by `structlog.contextvars`."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the request id when a line is logged. Binding it at every request would slow down requests without lines."""
    if request_id := caller.caller().request_id:
        event["request_id"] = request_id
    return event


def _dumps(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr).decode()
