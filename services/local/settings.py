"""Settings of the local stack itself. Everything else in the environment passes through to the services."""

from pydantic import Field

from nanogrid.settings import GridSettings


class LocalGridSettings(GridSettings):
    """Where the parts of one local grid listen. A port of 0, and every internal one left out, becomes a free one."""

    runtime_stand_ins: bool = True  # as every process of the grid reads it
    gateway_listen: str = "127.0.0.1:8080"
    registry_listen: str = ""
    artifacts_listen: str = ""
    invoker_listen: str = ""
    executors: int = Field(default=1, ge=1, le=64)  # executor processes on this machine
    gateway_grace_s: float = 30.0  # as the gateway reads it: how long its requests may go on after SIGTERM
    executor_drain_s: float = 60.0  # as executors read it: how long their jobs may
    executor_sandbox_url: str = ""  # empty = docker: where it works, else process:
