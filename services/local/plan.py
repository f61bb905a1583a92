"""The plan of a local grid: which processes, with which environment, and where each serves."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.local import ports
from services.local.settings import LocalGridSettings

# How long each may take to stop before it is killed, beyond the time it is set to let its calls finish.
STOP_WAIT_S = 15.0  # gRPC servers let running calls finish for 10 s


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the grid. `env` is its whole environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stop_wait_s: float = STOP_WAIT_S
    pass_fds: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each part listens (host:port, ports chosen) and is reached from this machine."""

    gateway_listen: str
    registry_listen: str
    artifacts_listen: str
    invoker_listen: str
    registry: str
    artifacts: str
    invoker: str

    @property
    def url(self) -> str:
        """Return the public API."""
        return f"http://{ports.reachable(self.gateway_listen)}"


def addresses(settings: LocalGridSettings) -> Addresses:
    """Settle every address. A configured one is kept, or refused with PortTakenError. The rest avoids taken ports."""
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
    """Return the environment of every process: the caller's, and the decisions of the local grid."""
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
    }


def stages(env: Mapping[str, str], settings: LocalGridSettings) -> Iterator[list[Child]]:
    """Return the services, stage by stage as they start.

    Stages stop in the opposite order, so that no call is made in vain.
    """
    yield [Child("registry", _module("services.registry"), env)]
    yield [Child("artifacts", _module("services.artifacts"), env)]
    yield list(_executors(env, settings.executors, STOP_WAIT_S + settings.executor_drain_s))
    yield [Child("invoker", _module("services.invoker"), env)]
    yield [Child("gateway", _module("gateway"), env, STOP_WAIT_S + settings.gateway_grace_s)]


def _executors(env: Mapping[str, str], executors: int, stop_wait_s: float) -> Iterator[Child]:
    for number in range(1, executors + 1):
        # Stable, so that a restarted executor finds and sweeps what its predecessor left behind.
        own = {"NANOGRID_EXECUTOR_ID": executor_id(env["NANOGRID_DATA_DIR"], number)}
        if executors == 1:
            yield Child("executor", _module("services.executor"), own | dict(env), stop_wait_s)
        else:  # what was set for one cannot hold for several
            own["NANOGRID_EXECUTOR_LISTEN"] = "127.0.0.1:0"
            yield Child(f"executor-{number}", _module("services.executor"), dict(env) | own, stop_wait_s)


def executor_id(data_dir: str, number: int) -> str:
    """Return the same after every restart, different for every executor and data folder of this machine."""
    return f"local-{hashlib.sha256(data_dir.encode()).hexdigest()[:8]}-{number}"


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", name)  # -P: a folder called `services` where the user stands is not ours
