"""Routes as the gateway has them: what answers GET answers HEAD with the same headers (RFC 9110, section 9.3.2)."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter


class Router(APIRouter):
    """Adds the HEAD of every GET. The server leaves the body out of such an answer."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route, and with a GET its HEAD, which the OpenAPI document leaves out."""
        super().add_api_route(path, endpoint, **options)
        if options.get("methods") == ["GET"]:
            super().add_api_route(path, endpoint, **options | {"methods": ["HEAD"], "include_in_schema": False})
