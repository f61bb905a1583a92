"""The composition root of artifacts: settings choose the stores, the rules guard them, the edge serves the rules."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from nanogrid.errors import NotFoundError
from nanogrid.logs import logger
from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.server import Bound, serving
from nanogrid.stopping import until_stopped
from nanogrid.v1 import artifacts_pb2, artifacts_pb2_grpc, registry_pb2
from nanogrid.v1.registry_pb2_grpc import RegistryServiceStub
from services.artifacts.archive import Archive, ArchivePace
from services.artifacts.blobs import BlobStore, open_blobs
from services.artifacts.copier import Copier
from services.artifacts.results import DurableResults
from services.artifacts.retention import Retention
from services.artifacts.servicer import ArtifactsServicer
from services.artifacts.settings import ArtifactsSettings
from services.artifacts.signing import UrlSigner, ensure_secret
from services.artifacts.spool import Spool, open_spool
from services.artifacts.vault import Vault

log = logger()

_PROBED = "health"  # a key under which nothing lies
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

        code = await stack.enter_async_context(open_blobs(settings.code_url))
        data = await stack.enter_async_context(open_blobs(settings.data_url))
        spool = stack.enter_context(open_spool(settings.spool_dir))
        archive = await stack.enter_async_context(_open_archive(settings, code, data))
        await stack.enter_async_context(_retaining(settings, data, archive))
        kept = archive.offer if archive else _nothing
        results = DurableResults(data, settings.artifacts_payload_bytes, kept)
        bound = Bound(
            artifacts_pb2.DESCRIPTOR.services_by_name["ArtifactsService"],
            artifacts_pb2_grpc.add_ArtifactsServiceServicer_to_server,
            ArtifactsServicer(_vault(settings, code, data, spool, archive), results),
        )
        listen = settings.artifacts_listen
        authenticator = Authenticator(
            required=settings.auth_required(listen), internal_token=settings.internal_token, verify=verify
        )

        async def storage_works() -> None:
            for store in (code, data):
                with suppress(NotFoundError):
                    await store.head(_PROBED)

        probes = {"storage": storage_works}
        yield await stack.enter_async_context(serving(listen, authenticator, [bound], probes))


@asynccontextmanager
async def _open_archive(settings: ArtifactsSettings, code: BlobStore, data: BlobStore) -> AsyncIterator[Archive | None]:
    """Return the archive at work, where there is one."""
    if not settings.archive_url:
        yield None
        return
    async with open_blobs(settings.archive_url) as store:
        pace = ArchivePace(reconcile_s=settings.artifacts_reconcile_s)
        archive = Archive(Copier(code, data, store), data, settings.archive_url, pace)
        async with _at_work(archive.run()):
            yield archive


@asynccontextmanager
async def _retaining(settings: ArtifactsSettings, data: BlobStore, archive: Archive | None) -> AsyncIterator[None]:
    """Retention at work, where the store has none of its own."""
    if not settings.retained_days:
        yield
        return
    retention = Retention(data, settings.retained_days, archive.watermark if archive else None)
    async with _at_work(retention.run()):
        yield


@asynccontextmanager
async def _at_work(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Return a loop in the background of the block."""

    async def told() -> None:
        try:
            await loop
        except Exception:  # the calls that are served do not depend on it
            log.exception("a loop in the background broke; restart the process")

    task = asyncio.create_task(told())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _nothing(job_id: str, record: bytes) -> None:
    """Tell where there is no archive."""


def _vault(
    settings: ArtifactsSettings, code: BlobStore, data: BlobStore, spool: Spool, archive: Archive | None
) -> Vault:
    return Vault(
        code,
        data,
        spool,
        UrlSigner(ensure_secret(settings.url_secret_file)),
        bundle_limits=settings.bundle_limits,
        upload_bytes=settings.artifacts_upload_bytes,
        output_bytes=settings.artifacts_output_bytes,
        url_ttl_s=settings.artifacts_url_ttl_s,
        before_code_goes=archive.before_code_goes if archive else None,
    )


async def main() -> None:
    """Serve until SIGTERM."""
    # Python's own default is 4 more than there are processors: too few to wait for disks with.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "blocking"))
    async with open_artifacts(ArtifactsSettings()):
        await until_stopped()
