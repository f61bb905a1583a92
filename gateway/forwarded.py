"""Finds the address that clients know the gateway by: the setting, or what a trusted proxy says of their request.

`X-Forwarded-Proto`, `-Host` and `-Prefix`, and `Forwarded` (RFC 7239), are believed of trusted proxies only. Each proxy
appends to what it received, so the entries are counted from the right: one for each trusted proxy on the way.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TypeVar
from urllib.request import parse_http_list

from starlette.requests import Request
from starlette.types import Scope

from gateway.settings import GatewaySettings

_ADDRESS = "public_address"  # its place in the scope of a request
_LOOKED_AT = frozenset(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded")
)
_SCHEMES = ("http", "https")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")

Item = TypeVar("Item")


class Forwarding:
    """Reads the headers of proxies. Without trusted ones it costs nothing."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._fixed = settings.gateway_public_url
        self._trusted = settings.trusted_proxies

    def note(self, scope: Scope) -> str:
        """Note in a request's scope where clients reach the gateway. Return what a trusted proxy says of it, or ""."""
        said = self._said_by_proxies(scope) if self._trusted else ""
        scope[_ADDRESS] = self._fixed or said
        return said

    def _said_by_proxies(self, scope: Scope) -> str:
        if not self._trusts((scope.get("client") or ("",))[0]):
            return ""
        said = _headers(scope)
        elements = [_pairs(element) for element in said.get("forwarded", ())]
        hops = self._count_hops(said.get("x-forwarded-for") or [element.get("for", "") for element in elements])
        element = _of_hop(elements, hops) or {}
        scheme = (_of_hop(said.get("x-forwarded-proto"), hops) or element.get("proto", "")).lower()
        host = _valid(_HOST, _of_hop(said.get("x-forwarded-host"), hops) or element.get("host", ""))
        prefix = _valid(_PREFIX, (_of_hop(said.get("x-forwarded-prefix"), hops) or "").rstrip("/"))
        if scheme in _SCHEMES or host or prefix:
            return f"{scheme if scheme in _SCHEMES else scope['scheme']}://{host or _host(scope)}{prefix}"
        return ""

    def _count_hops(self, clients: Sequence[str]) -> int:
        """Count the trusted proxies on the way: the one that is connected, and those that it was reached through."""
        trusted = takewhile(lambda client: self._trusts(_without_port(client)), reversed(clients))
        return 1 + sum(1 for _ in trusted)

    def _trusts(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:  # a name, `unknown`, or a Unix socket
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self._trusted)


def public_address(request: Request) -> str:
    """Return the address for a link that has to be absolute, without a slash at its end."""
    return request.scope.get(_ADDRESS) or f"{request.scope['scheme']}://{_host(request.scope)}"


def location(request: Request, path: str) -> str:
    """Return a `Location`: relative where clients reach the gateway as the request did."""
    return f"{request.scope.get(_ADDRESS, '')}{path}"


def _headers(scope: Scope) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _LOOKED_AT:
            items = (item.strip() for item in parse_http_list(value.decode("latin-1")))
            found.setdefault(name.decode(), []).extend(items)
    return found


def _valid(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""


def _of_hop(items: list[Item] | None, hops: int) -> Item | None:
    return items[-min(hops, len(items))] if items else None


def _pairs(element: str) -> dict[str, str]:
    """Read an element of `Forwarded`: `for=…;proto=…;host=…`. No value of these holds a semicolon."""
    return dict(_pair(part) for part in element.split(";") if "=" in part)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _without_port(client: str) -> str:
    """Return the address of `192.0.2.1:80`, `[2001:db8::1]:80` or a bare one."""
    if client.startswith("["):
        return client[1:].partition("]")[0]
    return client.partition(":")[0] if client.count(":") == 1 else client


def _host(scope: Scope) -> str:
    """Return the host that a request was sent to: its Host header, else the address it arrived at."""
    for host in _hosts(scope):
        if _HOST.fullmatch(host):
            return host
    name, port = scope.get("server") or ("localhost", None)
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name


def _hosts(scope: Scope) -> Iterator[str]:
    return (value.decode("latin-1") for name, value in scope["headers"] if name == b"host")
