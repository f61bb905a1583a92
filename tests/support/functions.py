"""Builds functions for tests."""

import uuid
from typing import Any

from nanogrid.v1.resources_pb2 import Function


def a_function(**fields: Any) -> Function:
    """Return a function that the registry accepts, with the given fields replaced."""
    function_id = fields.pop("function_id", None) or str(uuid.uuid4())
    known: dict[str, Any] = {
        "function_id": function_id,
        "function_name": "hello",
        "runtime": "python3.11",
        "handler": "main.handler",
        "s3_key": f"functions/{function_id}/code.zip",
    }
    return Function(**(known | fields))


def stored(owner: str, name: str, created_us: int, **fields: Any) -> Function:
    """Return a function as the catalog passes it to its store."""
    function = a_function(owner=owner, function_name=name, **fields)
    function.created_at.FromMicroseconds(created_us)
    return function
