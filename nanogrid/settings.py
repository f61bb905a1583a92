"""Settings shared by all services. `NANOGRID_*` comes first, then names of the cloud, then the embedded backend."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_MAX_PORT = 65_535


def _check_address(value: str) -> str:
    """Check that a value is host:port or empty. ValueError shows a valid one."""
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]/\s]+):(\d{1,5})", value)
    if value and (found is None or int(found[1]) > _MAX_PORT):
        port = value if value.isdecimal() and int(value) <= _MAX_PORT else "8080"
        raise ValueError(f"{value!r} is not host:port; write for example 127.0.0.1:{port}")
    return value


Address = Annotated[str, AfterValidator(_check_address)]  # host:port, brackets around an IPv6 host; or ""


class GridSettings(BaseSettings):
    """Settings by which the processes of a grid find each other and their backends.

    Each service adds its own in its `settings` module.
    """

    model_config = SettingsConfigDict(env_prefix="NANOGRID_", extra="ignore", populate_by_name=True)

    data_dir: Path = Path(".nanogrid")  # files of the embedded backends
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    auth: Literal["auto", "on", "off"] = "auto"  # auto: off on loopback, else on
    internal_token: str = ""  # authenticates the grid's services to each other

    registry_address: Address = "127.0.0.1:50051"
    artifacts_address: Address = "127.0.0.1:50052"
    invoker_address: Address = "127.0.0.1:50053"
    gateway_url: str = ""  # the gateway's address for clients, for links in published results; "" = relative links

    # Lets an offered version of a language run functions of another version that is not offered. Answers name the one
    # that ran. A local grid switches it on, because it has few images and examples elsewhere name other versions.
    runtime_stand_ins: bool = False

    # The job store, always a Redis server.
    redis_url: str = ""
    redis_host: str = Field(default="", validation_alias=AliasChoices("NANOGRID_REDIS_HOST", "REDIS_HOST"))
    redis_port: int = Field(default=6379, validation_alias=AliasChoices("NANOGRID_REDIS_PORT", "REDIS_PORT"))

    redis_may_evict: bool = False  # accept a server that evicts keys, including accepted jobs, when it is full

    # The queue: redis://… or sqs://…, or the URL of an SQS queue as AWS shows it.
    queue_url: str = ""
    sqs_queue_url: str = Field(default="", validation_alias=AliasChoices("NANOGRID_SQS_QUEUE_URL", "SQS_QUEUE_URL"))

    @property
    def jobs_url(self) -> str:
        """Return the URL of the Redis server that holds jobs."""
        return self.redis_url or f"redis://{self.redis_host or '127.0.0.1'}:{self.redis_port}/0"

    @property
    def task_queue_url(self) -> str:
        """Return the URL of the queue. The embedded queue is streams on the job store's Redis."""
        if self.queue_url or not self.sqs_queue_url:
            return self.queue_url or self.jobs_url
        return f"sqs:{self.sqs_queue_url}"

    def auth_required(self, listen: str) -> bool:
        """Return whether callers of a server bound to `listen` (host:port) must authenticate."""
        if self.auth == "auto":
            host = listen.rpartition(":")[0].strip("[]")
            return not (host in {"localhost", "::1"} or host.startswith("127."))
        return self.auth == "on"
