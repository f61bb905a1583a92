"""Plans a local grid: its processes, their environment and their addresses."""

import hashlib
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.local import ports
from services.local.settings import LocalGridSettings

# Time to stop before a process is killed, added to the time that its settings give running calls.
STOP_WAIT_S = 15.0  # gRPC servers let running calls finish for 10 s


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the grid. `env` is its whole environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stop_wait_s: float = STOP_WAIT_S
    pass_fds: tuple[int, ...] = field(default=())
    user_signal: signal.Signals | None = None  # stops it first, when the grid's user stops the grid


@dataclass(frozen=True, slots=True)
class Addresses:
    """Listen addresses of the services (host:port, ports chosen), and their addresses from this machine."""

    gateway_listen: str
    registry_listen: str
    artifacts_listen: str
    invoker_listen: str
    registry: str
    artifacts: str
    invoker: str

    @property
    def url(self) -> str:
        """Return the URL of the public API."""
        return f"http://{ports.reachable(self.gateway_listen)}"


def addresses(settings: LocalGridSettings) -> Addresses:
    """Choose every address: the configured one, PortTakenError when it is taken, else one with a free port."""
    listens, reached = {}, {}
    for name in ("registry", "artifacts", "invoker"):
        listen = getattr(settings, f"{name}_listen")
        address = getattr(settings, f"{name}_address")
        address_is_set = f"{name}_address" in settings.model_fields_set
        if listen or address_is_set:
            listens[name] = ports.choose_ports(listen or address, f"NANOGRID_{name.upper()}_LISTEN")
        else:
            listens[name] = ports.prefer(address)
        reached[name] = address if address_is_set else ports.reachable(listens[name])
    return Addresses(
        gateway_listen=ports.choose_ports(settings.gateway_listen, "NANOGRID_GATEWAY_LISTEN"),
        **{f"{name}_listen": listen for name, listen in listens.items()},
        **reached,
    )


def environment(
    inherited: Mapping[str, str],
    where: Addresses,
    settings: LocalGridSettings,
    *,
    data_dir: Path,
    redis_url: str,
    sandbox_url: str,
    token: str,
) -> dict[str, str]:
    """Return the environment of every process: the inherited one with the local grid's choices on top."""
    return {
        **inherited,
        "NANOGRID_DATA_DIR": str(data_dir),
        "NANOGRID_INTERNAL_TOKEN": token,
        "NANOGRID_REDIS_URL": redis_url,
        "NANOGRID_GATEWAY_LISTEN": where.gateway_listen,
        "NANOGRID_GATEWAY_URL": inherited.get("NANOGRID_GATEWAY_PUBLIC_URL") or where.url,
        "NANOGRID_REGISTRY_LISTEN": where.registry_listen,
        "NANOGRID_ARTIFACTS_LISTEN": where.artifacts_listen,
        "NANOGRID_INVOKER_LISTEN": where.invoker_listen,
        "NANOGRID_REGISTRY_ADDRESS": where.registry,
        "NANOGRID_ARTIFACTS_ADDRESS": where.artifacts,
        "NANOGRID_INVOKER_ADDRESS": where.invoker,
        "NANOGRID_EXECUTOR_SANDBOX_URL": sandbox_url,
        "NANOGRID_RUNTIME_STAND_INS": str(settings.runtime_stand_ins),
        "NANOGRID_EXECUTOR_DRAIN_S": str(settings.executor_drain_s),
    }


def stages(env: Mapping[str, str], settings: LocalGridSettings) -> Iterator[list[Child]]:
    """Yield the services in the order in which they start. They stop in reverse, callers before the services called."""
    yield [Child("registry", _module("services.registry"), env)]
    yield [Child("artifacts", _module("services.artifacts"), env)]
    yield list(_executors(env, settings.executors, STOP_WAIT_S + settings.executor_drain_s))
    yield [Child("invoker", _module("services.invoker"), env)]
    # Stopped beside the executors, which tell its callers that their jobs are cancelled.
    gateway_wait_s = STOP_WAIT_S + settings.gateway_grace_s
    yield [Child("gateway", _module("gateway"), env, gateway_wait_s, user_signal=signal.SIGTERM)]


def _executors(env: Mapping[str, str], executors: int, stop_wait_s: float) -> Iterator[Child]:
    argv = _module("services.executor")
    for number in range(1, executors + 1):
        # A stable id lets a restarted executor find and sweep its predecessor's leftovers.
        own = {"NANOGRID_EXECUTOR_ID": executor_id(env["NANOGRID_DATA_DIR"], number)}
        if executors == 1:
            yield Child("executor", argv, own | dict(env), stop_wait_s, user_signal=signal.SIGINT)
        else:  # one configured id or port cannot serve several executors
            own["NANOGRID_EXECUTOR_LISTEN"] = "127.0.0.1:0"
            yield Child(f"executor-{number}", argv, dict(env) | own, stop_wait_s, user_signal=signal.SIGINT)


def executor_id(data_dir: str, number: int) -> str:
    """Return an id that is stable over restarts and unique among the executors and data folders of this machine."""
    return f"local-{hashlib.sha256(data_dir.encode()).hexdigest()[:8]}-{number}"


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", name)  # -P ignores a folder `services` in the working directory
