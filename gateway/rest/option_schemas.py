"""JSON schemas of a function's options, with their limits, for the OpenAPI document."""

from typing import Any

from nanogrid import limits
from nanogrid.runtimes import ALIASES, RUNTIMES, SOURCE_SUFFIXES

FILE = {"type": "string", "format": "binary", "description": f"{' '.join(SOURCE_SUFFIXES)} or .zip"}

# Options that an upload and a registration share.
OPTIONS: dict[str, dict[str, Any]] = {
    "function_name": {"type": "string", "maxLength": limits.MAX_NAME, "description": "Need not be unique."},
    "runtime": {
        "type": "string",
        "description": f"{', '.join(RUNTIMES)}, as far as they are offered; {' or '.join(ALIASES)} for any version.",
        "example": "python3.11",
    },
    "handler": {
        "type": "string",
        "maxLength": limits.MAX_HANDLER,
        "description": "module.function (`<file>.handler` when left out); for cpp and go the program's file.",
    },
    "timeout": {
        "type": "integer",
        "default": limits.DEFAULT_TIMEOUT_S,
        "minimum": 0,
        "maximum": limits.MAX_TIMEOUT_S,
        "description": "s; 0 = no limit.",
    },
    "memory_mb": {
        "type": "integer",
        "default": limits.DEFAULT_MEMORY_MB,
        "minimum": limits.MIN_MEMORY_MB,
        "maximum": limits.MAX_MEMORY_MB,
    },
    "max_concurrency": {
        "type": "integer",
        "default": 0,
        "minimum": 0,
        "maximum": limits.MAX_CONCURRENCY,
        "description": "0 = no limit.",
    },
    "mode": {"type": "string", "enum": ["reuse", "fresh"], "default": "reuse"},
    "egress": {"type": "boolean", "default": False, "description": "Not offered by this grid yet."},
    "auto_memory": {"type": "boolean", "default": False},
}
ENV_OBJECT = {"type": "object", "additionalProperties": {"type": "string"}, "description": "At most 64 KiB together."}
ENV_TEXT = {"type": "string", "description": "A JSON object of strings.", "example": '{"GREETING": "안녕"}'}
