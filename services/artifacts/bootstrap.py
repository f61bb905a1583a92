"""The composition root of artifacts: settings choose the stores, the rules guard them, the edge serves the rules."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from nanogrid.auth import Authenticator
from nanogrid.channel import open_stub
from nanogrid.server import Bound, serving, until_stopped
from nanogrid.v1 import artifacts_pb2, artifacts_pb2_grpc, registry_pb2
from nanogrid.v1.registry_pb2_grpc import RegistryServiceStub
from services.artifacts.blobs import open_blobs
from services.artifacts.servicer import ArtifactsServicer
from services.artifacts.settings import ArtifactsSettings
from services.artifacts.signing import UrlSigner, ensure_secret
from services.artifacts.spool import open_spool
from services.artifacts.vault import Vault

_THREADS = 32  # a chunk at a time each


@asynccontextmanager
async def open_artifacts(settings: ArtifactsSettings) -> AsyncIterator[int]:
    """Serve artifacts until the block ends. Yields the port."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(
            open_stub(RegistryServiceStub, settings.registry_address, token=settings.internal_token)
        )

        async def verify(key: str) -> str:
            answer = await registry.VerifyApiKey(registry_pb2.VerifyApiKeyRequest(secret=key))
            return answer.principal

        vault = await stack.enter_async_context(_open_vault(settings))
        bound = Bound(
            artifacts_pb2.DESCRIPTOR.services_by_name["ArtifactsService"],
            artifacts_pb2_grpc.add_ArtifactsServiceServicer_to_server,
            ArtifactsServicer(vault),
        )
        listen = settings.artifacts_listen
        authenticator = Authenticator(
            required=settings.auth_required(listen), internal_token=settings.internal_token, verify=verify
        )
        yield await stack.enter_async_context(serving(listen, authenticator, [bound]))


@asynccontextmanager
async def _open_vault(settings: ArtifactsSettings) -> AsyncIterator[Vault]:
    async with open_blobs(settings.code_url) as code, open_blobs(settings.data_url) as data:
        with open_spool(settings.spool_dir) as spool:
            yield Vault(
                code,
                data,
                spool,
                UrlSigner(ensure_secret(settings.url_secret_file)),
                bundle_limits=settings.bundle_limits,
                upload_bytes=settings.artifacts_upload_bytes,
                output_bytes=settings.artifacts_output_bytes,
                url_ttl_s=settings.artifacts_url_ttl_s,
            )


async def main() -> None:
    """Serve until SIGTERM."""
    # Python's own default is 4 more than there are processors: too few to wait for disks with.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "blocking"))
    async with open_artifacts(ArtifactsSettings()):
        await until_stopped()
