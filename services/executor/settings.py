"""Settings of the executor: `NANOGRID_EXECUTOR_*` and the shared ones."""

import os
import re
import secrets
import socket
from pathlib import Path

from pydantic import AliasChoices, Field, field_validator

from nanogrid.settings import Address, GridSettings


def _default_slots() -> int:
    return max(4, 4 * (os.cpu_count() or 1))  # most functions wait more than they compute


def _default_id() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


class ExecutorSettings(GridSettings):
    """Settings of one executor process. Several may share a machine, a queue and a Docker daemon."""

    executor_listen: Address = "127.0.0.1:0"  # a free port by default, because several may share a machine
    executor_advertise: Address = ""  # host:port under which the grid reaches it. Empty = the listen address
    executor_id: str = Field(default_factory=_default_id)
    executor_slots: int = Field(default_factory=_default_slots, ge=1, le=1000)  # jobs at a time
    executor_sandbox_url: str = "docker:"
    executor_dir: Path | None = None  # sandboxes and code cache. Empty = {data_dir}/executors/{executor_id}
    executor_code_cache_mb: int = Field(default=2048, ge=1)  # unpacked code kept on disk
    executor_sandboxes: int = Field(default=64, ge=1)  # live sandboxes, resting ones included, at least the slots
    executor_pool: str = "1"  # generic sandboxes kept ready per runtime: "2", or "python3.11=4,nodejs18.x=2"
    executor_pool_most: int = Field(default=32, ge=0)  # maximum kept ready per runtime while many new functions arrive
    executor_freeze_s: float = Field(default=0.5, ge=0)  # a sandbox unused for this long is frozen
    executor_drain_s: float = Field(
        default=60.0, ge=0
    )  # time for running jobs after SIGTERM, before they are handed back
    executor_idle_s: float = Field(default=600.0, gt=0)  # a sandbox unused for this long is removed

    # Idle sandboxes are evicted while less than this percentage of memory is available, of the machine or of a limited
    # cgroup that the executor is in, so that warm ones never take the memory of running ones. 0 = never.
    executor_memory_floor_percent: float = Field(default=5.0, ge=0, lt=100)
    # They are evicted below four times the floor, too, while processes wait for memory for this percentage of the time
    # (Linux PSI): from a tenth on, calls are noticeably slower.
    executor_memory_stall_percent: float = Field(default=10.0, gt=0, le=100)

    executor_visibility_s: float = Field(default=30.0, gt=0)  # a message without a heartbeat returns to the queue
    executor_poll_s: float | None = Field(default=None, ge=0, le=20)  # one wait for messages. Empty: 2 s, on SQS 20 s
    executor_record_bytes: int = Field(default=262_144, ge=1024)  # a larger record is stored in artifacts, not in Redis
    executor_lease_s: float = Field(default=15.0, gt=0)  # a job without a heartbeat may be claimed by another executor
    executor_init_timeout_s: float = Field(default=60.0, gt=0)  # loading a handler, imports included
    executor_cpus: float = Field(default=0.5, gt=0)  # CPU limit of a sandbox
    executor_build_cache_mb: int = Field(default=2048, ge=1)  # built programs kept on disk
    executor_build_cpus: float = Field(default=2.0, gt=0)  # CPU limit of a build, of which two may run at a time
    executor_build_memory_mb: int = Field(default=2048, ge=64)  # memory limit of a build
    executor_build_timeout_s: float = Field(default=300.0, gt=0)

    # Sink of peak memory: cloudwatch: or cloudwatch://Namespace, "" = none, auto = CloudWatch if the queue is SQS.
    executor_metrics_url: str = "auto"
    executor_metrics_flush_s: float = Field(default=60.0, gt=0)  # between two calls, because graphs show minutes anyway

    # The only bucket that messages put on the queue by hand may name.
    executor_code_bucket: str = Field(
        default="nanogrid-code-bucket",
        validation_alias=AliasChoices("NANOGRID_EXECUTOR_CODE_BUCKET", "S3_CODE_BUCKET", "S3_BUCKET"),
    )
    ai_endpoint: str = Field(default="", validation_alias="AI_ENDPOINT")

    @property
    def ready(self) -> dict[str, int]:
        """Return how many generic sandboxes to keep ready by runtime. "*" stands for every other runtime."""
        parts = (part.partition("=") for part in self.executor_pool.split(",") if part.strip())
        return {name.strip() if count else "*": int(count or name) for name, _, count in parts}

    @field_validator("executor_pool")
    @classmethod
    def _pool_is_numbers(cls, value: str) -> str:
        if not re.fullmatch(r"\s*(([\w.]+=)?\d+\s*(,\s*([\w.]+=)?\d+\s*)*)?", value):
            raise ValueError(f'{value!r} is not understood; write "2" or "python3.11=4,nodejs18.x=2"')
        return value

    @property
    def poll_s(self) -> float:
        """Return the seconds of one wait for messages. It is long on SQS, where every wait costs money."""
        if self.executor_poll_s is not None:
            return self.executor_poll_s
        return 20.0 if self.task_queue_url.startswith("sqs:") else 2.0

    @property
    def metrics_url(self) -> str:
        """Return the URL of the metrics sink, "" for none."""
        if self.executor_metrics_url != "auto":
            return self.executor_metrics_url
        return "cloudwatch:" if self.task_queue_url.startswith("sqs:") else ""

    @property
    def root(self) -> Path:
        """Return the folder that belongs to this executor."""
        return (self.executor_dir or self.data_dir / "executors" / self.executor_id).absolute()
