"""The gRPC edge of the registry: messages in, rules, messages out."""

from typing import Any

from grpc.aio import ServicerContext

from nanogrid.rpc.auth import require_internal
from nanogrid.v1 import registry_pb2 as pb
from nanogrid.v1 import registry_pb2_grpc
from services.registry.catalog import Catalog
from services.registry.keys import Keys
from services.registry.uploads import Uploads

_Call = ServicerContext[Any, Any]


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Serves RegistryService."""

    def __init__(self, catalog: Catalog, uploads: Uploads, keys: Keys) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._keys = keys

    async def CreateFunction(self, request: pb.CreateFunctionRequest, _: _Call) -> pb.CreateFunctionResponse:
        upload = self._uploads.completed(request)
        return pb.CreateFunctionResponse(function=await self._catalog.create(request.function, upload))

    async def ReserveUpload(self, request: pb.ReserveUploadRequest, _: _Call) -> pb.ReserveUploadResponse:
        return pb.ReserveUploadResponse(earlier=await self._uploads.reserve(request.reservation))

    async def ReleaseUpload(self, request: pb.ReleaseUploadRequest, _: _Call) -> pb.ReleaseUploadResponse:
        return pb.ReleaseUploadResponse(recorded=await self._uploads.release(request.reservation))

    async def GetFunction(self, request: pb.GetFunctionRequest, _: _Call) -> pb.GetFunctionResponse:
        by_name = request.WhichOneof("by") == "function_name"
        found = self._catalog.newest(request.function_name) if by_name else self._catalog.get(request.function_id)
        return pb.GetFunctionResponse(function=await found)

    async def ListFunctions(self, request: pb.ListFunctionsRequest, _: _Call) -> pb.ListFunctionsResponse:
        functions, token = await self._catalog.page(request.page_size, request.page_token)
        return pb.ListFunctionsResponse(functions=functions, next_page_token=token)

    async def DeleteFunction(self, request: pb.DeleteFunctionRequest, _: _Call) -> pb.DeleteFunctionResponse:
        return pb.DeleteFunctionResponse(function=await self._catalog.delete(request.function_id))

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, _: _Call) -> pb.CreateApiKeyResponse:
        require_internal()
        key, secret = await self._keys.create(request.principal)
        return pb.CreateApiKeyResponse(key=key, secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, _: _Call) -> pb.ListApiKeysResponse:
        require_internal()
        keys, token = await self._keys.page(request.page_size, request.page_token)
        return pb.ListApiKeysResponse(keys=keys, next_page_token=token)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, _: _Call) -> pb.RevokeApiKeyResponse:
        require_internal()
        return pb.RevokeApiKeyResponse(key=await self._keys.revoke(request.key_id))

    async def VerifyApiKey(self, request: pb.VerifyApiKeyRequest, _: _Call) -> pb.VerifyApiKeyResponse:
        require_internal()
        return pb.VerifyApiKeyResponse(principal=await self._keys.verify(request.secret))
