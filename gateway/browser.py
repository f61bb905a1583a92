"""Keeps web pages away from a gateway that asks for no keys.

A page that a developer has open can send requests to programs on the same machine: a form to `/upload`, a `fetch` to
`/run`, or anything once its own name has been made to resolve to 127.0.0.1 (DNS rebinding). Browsers say which page a
request comes from (Fetch Metadata, `Origin`, `Referer`) and which name it was sent to (`Host`), so these are checked.
Other clients send none of them but the `Host`.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NoReturn
from urllib.parse import urlsplit

from starlette.types import Scope

from gateway.settings import GatewaySettings
from nanogrid.errors import ForeignPageError

_OWN_SITES = ("same-origin", "none")  # Sec-Fetch-Site of this gateway's own pages, and of an address typed by a person
_READING = ("GET", "HEAD")  # these change nothing, and links from elsewhere carry a Referer
_LOOKED_AT = frozenset((b"host", b"origin", b"referer", b"sec-fetch-site"))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KNOWN = 1024  # hosts whose check is remembered: clients send the same one every time

Authority = tuple[str, int | None]  # host in lower case, port


class PageGuard:
    """Refuses what a browser sends for a foreign page. The settings name the hosts that the gateway goes by.

    A gateway on loopback goes by loopback names and addresses. One that listens elsewhere without keys goes by every IP
    address too, because no name that an attacker owns is one.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        listen = settings.gateway_listen.rpartition(":")[0].strip("[]").lower()
        public = urlsplit(settings.gateway_public_url)
        self._names = {name for name in (public.hostname, *settings.host_names, listen) if name}
        self._takes_addresses = not _is_loopback(listen)
        self._public = _authority_of_url(settings.gateway_public_url)
        self._is_ours = lru_cache(_KNOWN)(self._goes_by)

    def check(self, scope: Scope, forwarded_to: str) -> None:
        """Let programs and this gateway's own pages pass. ForeignPageError otherwise.

        `forwarded_to` is the address that a trusted proxy says the request was sent to, "" where none does.
        """
        said = _headers(scope)
        hosts = said.get(b"host", [])
        for host in (*hosts, *((urlsplit(forwarded_to).netloc,) if forwarded_to else ())):
            if not self._is_ours(host):
                _refuse("Host", host, "is not a name of this machine; use http://127.0.0.1 or http://localhost")
        if not hosts:
            _refuse("Host", "", "is missing; say which host the request is for")
        for site in said.get(b"sec-fetch-site", ()):
            if site.lower() not in _OWN_SITES:
                _refuse("Sec-Fetch-Site", site, "means that another site's page sent this; open the address directly")
        here = {_authority_of_url(f"{scope['scheme']}://{host}") for host in hosts}
        here |= {self._public, _authority_of_url(forwarded_to)} - {None}
        for field, origin in _sources(said, scope["method"]):
            if _authority_of_url(origin) not in here:
                _refuse(field, origin, "is another site's page")

    def _goes_by(self, host: str) -> bool:
        authority = _authority_of_url(f"http://{host}")
        if authority is None or any(mark in host for mark in "/?#"):
            return False
        name = authority[0].removesuffix(".")
        if name in self._names or _is_loopback(name):
            return True
        return self._takes_addresses and _address(name) is not None


def _headers(scope: Scope) -> Mapping[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _LOOKED_AT:
            found.setdefault(name, []).append(value.decode("latin-1"))
    return found


def _sources(said: Mapping[bytes, list[str]], method: str) -> Iterable[tuple[str, str]]:
    """Return where a request comes from. Browsers from before 2020 send forms with a Referer only."""
    if origins := said.get(b"origin"):
        return [("Origin", origin) for origin in origins]
    if method in _READING:
        return ()
    return [("Referer", referer) for referer in said.get(b"referer", ())]


def _authority_of_url(url: str) -> Authority | None:
    """Return host and port of a URL, the port its scheme's default where it names none. None where it has no host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.password is not None:
        return None
    return parts.hostname, port if port is not None else _DEFAULT_PORTS.get(parts.scheme)


def _is_loopback(name: str) -> bool:
    """Tell whether a host name or address means this machine, to every client on it."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if address is None:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _refuse(field: str, value: str, why: str) -> NoReturn:
    said = f"{field}: {value[:64]!r}" if value else field
    cures = "NANOGRID_GATEWAY_PUBLIC_URL and NANOGRID_GATEWAY_HOSTS name further hosts, NANOGRID_AUTH=on asks for keys"
    raise ForeignPageError(
        f"{said} {why}. Without API keys this grid answers no foreign web page: {cures}", field=field
    )
