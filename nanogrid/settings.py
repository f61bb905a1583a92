"""Settings every service shares. `NANOGRID_*` wins, then the cloud's environment names, then the embedded twin."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_MAX_PORT = 65_535


def _check_address(value: str) -> str:
    """Refuse what is not host:port. ValueError shows one that is."""
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[^:\[\]/\s]+):(\d{1,5})", value)
    if value and (found is None or int(found[1]) > _MAX_PORT):
        port = value if value.isdecimal() and int(value) <= _MAX_PORT else "8080"
        raise ValueError(f"{value!r} is not host:port; write for example 127.0.0.1:{port}")
    return value


Address = Annotated[str, AfterValidator(_check_address)]  # host:port, brackets around an IPv6 host; or ""


class GridSettings(BaseSettings):
    """The settings by which the processes of a grid find each other.

    Each service adds its own in its `settings` room.
    """

    model_config = SettingsConfigDict(env_prefix="NANOGRID_", extra="ignore", populate_by_name=True)

    data_dir: Path = Path(".nanogrid")  # everything the embedded backends keep
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    auth: Literal["auto", "on", "off"] = "auto"  # auto: off on loopback, on anywhere else
    internal_token: str = ""  # what the grid's services prove themselves with to each other

    registry_address: Address = "127.0.0.1:50051"
    artifacts_address: Address = "127.0.0.1:50052"
    invoker_address: Address = "127.0.0.1:50053"
    gateway_url: str = ""  # where clients reach the gateway, for links in what is published; "" leaves them relative

    # Whether an offered version of a language serves functions of one that is not. Answers say which it was. A local
    # grid switches it on: it has few images, and newcomers' examples name others.
    runtime_stand_ins: bool = False

    # Where the job store is: always a Redis server.
    redis_url: str = ""
    redis_host: str = Field(default="", validation_alias=AliasChoices("NANOGRID_REDIS_HOST", "REDIS_HOST"))
    redis_port: int = Field(default=6379, validation_alias=AliasChoices("NANOGRID_REDIS_PORT", "REDIS_PORT"))

    redis_may_evict: bool = False  # whether a server is taken that evicts keys when it is full: accepted jobs too

    # Where the queue is: redis://… or sqs://…; an SQS queue also under the name that its own console shows it by.
    queue_url: str = ""
    sqs_queue_url: str = Field(default="", validation_alias=AliasChoices("NANOGRID_SQS_QUEUE_URL", "SQS_QUEUE_URL"))

    @property
    def jobs_url(self) -> str:
        """URL of the Redis server that keeps jobs."""
        return self.redis_url or f"redis://{self.redis_host or '127.0.0.1'}:{self.redis_port}/0"

    @property
    def task_queue_url(self) -> str:
        """URL of the queue. The embedded twin is streams on the job store's Redis."""
        if self.queue_url or not self.sqs_queue_url:
            return self.queue_url or self.jobs_url
        return f"sqs:{self.sqs_queue_url}"

    def auth_required(self, listen: str) -> bool:
        """Tell whether callers of a server bound to `listen` (host:port) must authenticate."""
        if self.auth == "auto":
            host = listen.rpartition(":")[0].strip("[]")
            return not (host in {"localhost", "::1"} or host.startswith("127."))
        return self.auth == "on"
