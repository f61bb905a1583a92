"""Settings of the invoker: `NANOGRID_INVOKER_*` and the shared ones."""

from pydantic import Field

from nanogrid.limits import MAX_PAYLOAD_BYTES
from nanogrid.settings import Address, GridSettings


class InvokerSettings(GridSettings):
    """Settings of one invoker process. Several processes may share a queue and a job store."""

    invoker_listen: Address = "127.0.0.1:50053"
    invoker_wait_s: float = Field(
        default=290.0, gt=0
    )  # longest synchronous wait, below the load balancer's 300 s idle limit
    invoker_payload_bytes: int = Field(default=MAX_PAYLOAD_BYTES, ge=1)
    invoker_message_bytes: int = Field(
        default=196_608, ge=1024
    )  # above it the payload is stored apart, because SQS takes 256 KiB
    invoker_function_cache_s: float = Field(
        default=30.0, ge=0
    )  # a deleted function is refused at once even so, by the job store
    invoker_sweep_s: float = Field(
        default=5.0, gt=0
    )  # seconds between searches for crashed submissions and retired functions
    invoker_unsent_s: float = Field(default=10.0, gt=0)  # age at which a job without a message gets one
    invoker_store_check_s: float = Field(default=60.0, gt=0)  # seconds between checks that Redis may not evict jobs
    invoker_dead_letters_s: float = Field(default=60.0, gt=0)  # seconds between checks for new dead letters
