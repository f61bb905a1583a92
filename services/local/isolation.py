"""Chooses the sandbox of a local grid, and refuses to run functions unisolated where the network can call them."""

import os

from nanogrid.errors import BadSettingError, StartError

DOCKER, PROCESS = "docker:", "process:"


class IsolationError(StartError):
    """Functions would run unisolated on a grid that the network can reach. The message names the cure."""


def choose(configured: str, problem: str | None, *, public: bool) -> str:
    """Return the sandbox URL: the configured one, else Docker.

    Without a working Docker, functions run as plain child processes, but only on a grid that listens on loopback.
    IsolationError on any other, and where Docker was asked for by name. BadSettingError for an unknown URL.
    """
    if configured.rstrip("/") not in ("", DOCKER, PROCESS):
        raise BadSettingError(
            f"NANOGRID_EXECUTOR_SANDBOX_URL: {configured!r} is not known; use {DOCKER} or {PROCESS}, or leave it out"
        )
    if configured.startswith(DOCKER) and problem is not None:
        raise IsolationError(f"NANOGRID_EXECUTOR_SANDBOX_URL={DOCKER} cannot be had: {problem}")
    if configured:
        return configured
    if problem is None:
        return DOCKER
    if public:
        raise IsolationError(
            f"functions cannot be isolated ({problem}) and the gateway is not bound to loopback; make Docker work, "
            "or accept the risk with NANOGRID_EXECUTOR_SANDBOX_URL=process:"
        )
    return PROCESS


def docker_problem() -> str | None:
    """Return why Docker sandboxes cannot be used here, or None."""
    if os.geteuid() != 0:
        return "executors need root for cgroups and quotas, and this is not root; start the grid with sudo"
    import docker  # noqa: PLC0415 - an SDK is loaded on use
    from docker.errors import DockerException  # noqa: PLC0415 - see above

    try:
        client = docker.from_env(timeout=5)
        try:
            if client.images.list(filters={"reference": "nanogrid/*"}):
                return None
        finally:
            client.close()
    except DockerException as failure:
        return f"no Docker daemon answers: {failure}"
    return "there are no nanogrid/* images yet; build them with `make images`"
