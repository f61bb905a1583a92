"""Fills in the limits that a new function leaves out."""

from nanogrid import limits
from nanogrid.v1.resources_pb2 import Function, SandboxMode


def fill_defaults(function: Function) -> Function:
    """Set the unset limits of a function to their defaults and return it."""
    if not function.HasField("timeout_s"):
        function.timeout_s = limits.DEFAULT_TIMEOUT_S
    function.memory_mb = function.memory_mb or limits.DEFAULT_MEMORY_MB
    function.mode = function.mode or SandboxMode.SANDBOX_MODE_REUSE
    return function
