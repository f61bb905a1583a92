"""Gateway settings: `NANOGRID_GATEWAY_*`, and the shared ones."""

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from nanogrid.limits import MAX_PAYLOAD_BYTES
from nanogrid.settings import Address, GridSettings

_HOST = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)


class GatewaySettings(GridSettings):
    """One gateway process."""

    gateway_listen: Address = "127.0.0.1:8080"  # beyond loopback an API key is required, unless NANOGRID_AUTH=off
    gateway_public_url: str = ""  # what clients reach it at, such as https://grid.example.com; empty = as they asked
    # Further host names, by commas, that a gateway without keys answers to: web pages cannot then reach it by theirs.
    gateway_hosts: str = ""
    # Addresses and networks, by commas, of proxies whose X-Forwarded-Proto, -Host, -Prefix and Forwarded are believed.
    gateway_trusted_proxies: str = ""
    gateway_upload_bytes: int = Field(default=1_000_000_000, ge=1)  # body of one upload
    gateway_payload_bytes: int = Field(default=MAX_PAYLOAD_BYTES, ge=2)  # payload of one call
    gateway_wait_s: float = Field(default=290.0, gt=0)  # longest synchronous wait, below the balancer's idle limit
    gateway_grace_s: int = Field(default=30, ge=0)  # how long running requests may finish after SIGTERM

    @field_validator("gateway_public_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError(f"{url!r} is not an address; write for example https://grid.example.com")
        return url.rstrip("/")

    @field_validator("gateway_hosts")
    @classmethod
    def _check_hosts(cls, hosts: str) -> str:
        for name in _items(hosts):
            if not _HOST.fullmatch(name):
                raise ValueError(f"{name!r} is not a host name; write names without ports, by commas")
        return hosts

    @field_validator("gateway_trusted_proxies")
    @classmethod
    def _check_networks(cls, networks: str) -> str:
        for network in _items(networks):
            ipaddress.ip_network(network, strict=False)
        return networks

    @property
    def host_names(self) -> list[str]:
        """Return the further host names, in lower case."""
        return [name.lower() for name in _items(self.gateway_hosts)]

    @property
    def trusted_proxies(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Return the networks of trusted proxies."""
        return [ipaddress.ip_network(network, strict=False) for network in _items(self.gateway_trusted_proxies)]


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]
