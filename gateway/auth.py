"""Identifies HTTP callers: the owner of an API key, or `local` where none is required."""

import hmac
import re

from starlette.types import Scope

from gateway.backends import ANSWER_S
from gateway.browser import PageGuard
from gateway.settings import GatewaySettings
from nanogrid import caller
from nanogrid.caller import LOCAL_PRINCIPAL, Caller
from nanogrid.errors import UnauthenticatedError
from nanogrid.rpc.auth import Authenticator, api_key
from nanogrid.v1 import registry_pb2_grpc
from nanogrid.v1.registry_pb2 import VerifyApiKeyRequest

_OPEN = frozenset({"/health", "/ready", "/docs", "/openapi.json"})  # they show no data of users
_SIGNED = "/outputs/"  # the signature replaces the key, because a browser that opens a link sends no header
_OPERATORS = re.compile(r"/(?:keys|dead-letters)(?:/|$)")  # nowhere else does the internal token open anything
_KEY_HEADERS = (b"authorization", b"x-api-key")


class HttpAuthenticator:
    """Identifies HTTP callers. `required` says whether they need a key.

    None is internal, but an operator who shows the grid's internal token to one of the operators' routes.
    """

    def __init__(self, settings: GatewaySettings, registry: "registry_pb2_grpc.RegistryServiceAsyncStub") -> None:
        self.required = settings.auth_required(settings.gateway_listen)
        self._pages = PageGuard(settings)
        self._token = settings.internal_token.encode()
        self._registry = registry
        self._keys = Authenticator(required=True, internal_token="", verify=self._verify)

    async def identify(self, scope: Scope, request_id: str, forwarded_to: str = "") -> Caller:
        """Return the caller. UnauthenticatedError without a valid key where one is required.

        ForeignPageError where none is required, and a browser sent the request for another site's page.
        """
        path = scope["path"]
        if path in _OPEN or path.startswith(_SIGNED):
            # A caller without a principal owns and sees nothing. Open routes act as the grid after their own checks.
            return Caller("", internal=False, request_id=request_id)
        if not self.required:
            self._pages.check(scope, forwarded_to)
        if _OPERATORS.match(path) and self._is_operator(scope["headers"]):
            return Caller(None, internal=True, request_id=request_id)
        if not self.required:
            return Caller(LOCAL_PRINCIPAL, internal=False, request_id=request_id)
        return await self._keys.identify(_key_headers(scope["headers"]) | {caller.REQUEST_ID_KEY: request_id})

    def _is_operator(self, headers: list[tuple[bytes, bytes]]) -> bool:
        try:
            shown = api_key(_key_headers(headers)).encode("latin-1")
        except UnauthenticatedError:
            return False
        return bool(self._token) and hmac.compare_digest(shown, self._token)

    async def _verify(self, key: str) -> str:
        answer = await self._registry.VerifyApiKey(VerifyApiKeyRequest(secret=key), timeout=ANSWER_S)
        return answer.principal


def _key_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in _KEY_HEADERS}
