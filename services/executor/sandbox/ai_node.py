"""Parses `AI_ENDPOINT`: the AI node's address for the executor, and the one that functions see."""

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

# The address for functions: in a container PID 1 forwards it, elsewhere it is an Ollama on the same machine.
LOOPBACK_URL = "http://127.0.0.1:11434"

_CONNECT_S = 10.0  # enough within one network
_BUFFER_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AiNode:
    """The only address that sandboxes may reach. `tls` verifies it if the operator configured https."""

    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def inside_url(self) -> str:
        """Return AI_ENDPOINT for a sandbox: always plain HTTP, on its own loopback."""
        return LOOPBACK_URL + self.path

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the node. OSError, with TimeoutError and ssl.SSLError, when it cannot be reached or trusted."""
        name = self.host if self.tls else None
        async with asyncio.timeout(_CONNECT_S):
            return await asyncio.open_connection(
                self.host, self.port, ssl=self.tls, server_hostname=name, limit=_BUFFER_BYTES
            )


def parse_ai_endpoint(url: str) -> AiNode | None:
    """Parse `http[s]://host[:port][/path]`, or return None for "". ValueError names the fault."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise ValueError(f"AI_ENDPOINT: {url!r}: {error}; write http://host:port") from None
    if not (parts.hostname and port):
        raise ValueError(f"AI_ENDPOINT: {url!r} is not a URL of a server; write http://host:port or https://host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("AI_ENDPOINT: no user, query or fragment, please: functions could not be given them")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return AiNode(parts.hostname, port, parts.path.rstrip("/"), tls)
