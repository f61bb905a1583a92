"""Settings of the local grid itself. Everything else in the environment passes through to the services."""

from pydantic import Field

from nanogrid.settings import Address, GridSettings


class LocalGridSettings(GridSettings):
    """Settings of one local grid. A port of 0, and every internal address left empty, becomes a free port."""

    runtime_stand_ins: bool = True  # as every process of the grid reads it
    gateway_listen: Address = "127.0.0.1:8080"
    registry_listen: Address = ""
    artifacts_listen: Address = ""
    invoker_listen: Address = ""
    executors: int = Field(default=1, ge=1, le=64)  # executor processes on this machine
    gateway_grace_s: float = 30.0  # as the gateway reads it: time for its requests after SIGTERM
    # As executors read it: time for their jobs before they are handed back, or cancelled by `nanogrid down`. Shorter
    # than elsewhere, because a user waits for it.
    executor_drain_s: float = Field(default=10.0, ge=0)
    executor_sandbox_url: str = ""  # empty = docker: if it works, else process:
