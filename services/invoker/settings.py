"""Invoker settings: `NANOGRID_INVOKER_*`, and the shared ones."""

from pydantic import Field

from nanogrid.settings import GridSettings


class InvokerSettings(GridSettings):
    """One invoker process. Several may share a queue and a job store."""

    invoker_listen: str = "127.0.0.1:50053"
    invoker_wait_s: float = Field(
        default=290.0, gt=0
    )  # longest synchronous wait; below the load balancer's 300 s idle limit
    invoker_payload_bytes: int = Field(default=32_000_000, ge=1)
    invoker_message_bytes: int = Field(
        default=196_608, ge=1024
    )  # above it the payload travels apart; SQS takes 256 KiB
    invoker_function_cache_s: float = Field(
        default=30.0, ge=0
    )  # deletes are seen at once all the same: the job store refuses
    invoker_sweep_s: float = Field(
        default=5.0, gt=0
    )  # how often crashed submissions and retired functions are looked for
    invoker_unsent_s: float = Field(default=10.0, gt=0)  # a recorded job this old without a message has lost it
    invoker_store_check_s: float = Field(default=60.0, gt=0)  # how often it is looked whether Redis may evict jobs
    invoker_dead_letters_s: float = Field(default=60.0, gt=0)  # how often it is looked what the queue itself gave up
