"""Gateway settings: `NANOGRID_GATEWAY_*`, and the shared ones."""

from pydantic import Field

from nanogrid.settings import GridSettings


class GatewaySettings(GridSettings):
    """One gateway process."""

    gateway_listen: str = "127.0.0.1:8080"  # beyond loopback an API key is required, unless NANOGRID_AUTH=off
    gateway_public_url: str = ""  # what clients reach it at, such as https://grid.example.com; empty = as they asked
    gateway_upload_bytes: int = Field(default=1_000_000_000, ge=1)  # body of one upload
    gateway_payload_bytes: int = Field(default=32_000_000, ge=2)  # payload of one call
    gateway_wait_s: float = Field(default=290.0, gt=0)  # longest synchronous wait, below the balancer's idle limit
    gateway_grace_s: int = Field(default=30, ge=0)  # how long running requests may finish after SIGTERM
