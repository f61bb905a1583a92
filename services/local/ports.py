"""Chooses ports that do not collide with another grid on the same machine."""

import errno
import socket
from http.client import HTTPConnection, HTTPException

from nanogrid.errors import BadSettingError, StartError

_ANSWER_S = 3.0  # a gateway answers /health at once, on a busy machine too; this only chooses the words of an error
_HEALTHY_BYTES = 64


class PortTakenError(StartError):
    """Another process listens on the port. The message says how to choose another one."""


def split(address: str) -> tuple[str, int]:
    """Split `host:port` and drop brackets around an IPv6 host. ValueError otherwise."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def join(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(listen: str) -> str:
    """Return the address at which this machine reaches a server listening on `listen`."""
    host, port = split(listen)
    return join({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104 - compared, not bound


def choose_ports(listen: str, setting: str) -> str:
    """Return the address with port 0 replaced by a free one.

    PortTakenError when another process has it; StartError or BadSettingError when it cannot be listened on.
    """
    host, port = split(listen)
    try:
        return join(host, _bind(host, port))
    except socket.gaierror:
        raise BadSettingError(f"{setting}: the host of {listen!r} is not known; use for example 127.0.0.1") from None
    except OSError as failure:
        raise _explained(failure, listen, setting) from None


def prefer(listen: str) -> str:
    """Return the address if its port is free and no other grid has chosen it, else its host with a free port."""
    host, port = split(listen)
    try:
        _reserve(port)
        return join(host, _bind(host, port))
    except OSError:
        return join(host, _bind(host, 0))


def _explained(failure: OSError, listen: str, setting: str) -> StartError:
    host, port = split(listen)
    if failure.errno == errno.EADDRINUSE:
        other = (
            "another NanoGrid (`nanogrid down` with its --data-dir stops it)" if _is_grid(listen) else "another program"
        )
        return PortTakenError(f"{listen} is taken by {other}; set {setting}={join(host, 0)} for a free port")
    if failure.errno == errno.EADDRNOTAVAIL:
        return BadSettingError(
            f"{setting}: this machine has no address {host}; use 127.0.0.1:{port}, or 0.0.0.0:{port} for all it has"
        )
    if failure.errno == errno.EACCES:
        return StartError(f"{setting}: only root may listen on ports below 1024, such as {port}; use 8080 or higher")
    return StartError(f"{setting}: {listen} cannot be listened on: {failure.strerror}")


def _is_grid(listen: str) -> bool:
    """Return whether a gateway answers at the address."""
    connection = HTTPConnection(*split(reachable(listen)), timeout=_ANSWER_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().read(_HEALTHY_BYTES).replace(b" ", b"") == b'{"status":"healthy"}'
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _reserve(port: int) -> None:
    """Keep the port from other grids of this machine until its server listens. OSError when one has chosen it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0nanogrid-port-{port}")  # a name of no file, free again when this process ends
    except OSError:
        claim.close()
        raise
    claim.detach()  # open for as long as this process lives


def _bind(host: str, port: int) -> int:
    """Bind the port for a moment and return it. OSError when it cannot be had. The caller must listen there soon."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT counts as free
        probe.bind((host, port))
        return int(probe.getsockname()[1])
