"""The composition root of the registry: settings choose the store, the store feeds the rules, the edge serves them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.server import Bound, serving
from nanogrid.stopping import until_stopped
from nanogrid.v1 import registry_pb2, registry_pb2_grpc
from services.registry.catalog import Catalog
from services.registry.keys import Keys
from services.registry.servicer import RegistryServicer
from services.registry.settings import RegistrySettings
from services.registry.store import open_store
from services.registry.uploads import Uploads


@asynccontextmanager
async def open_registry(settings: RegistrySettings) -> AsyncIterator[int]:
    """Serve the registry until the block ends. Yields the port."""
    listen = settings.registry_listen
    async with open_store(settings.store_url) as store:
        keys = Keys(store)
        bound = Bound(
            registry_pb2.DESCRIPTOR.services_by_name["RegistryService"],
            registry_pb2_grpc.add_RegistryServiceServicer_to_server,
            RegistryServicer(Catalog(store), Uploads(store), keys),
        )
        authenticator = Authenticator(
            required=settings.auth_required(listen), internal_token=settings.internal_token, verify=keys.verify
        )
        probes = {"table": lambda: store.page_keys(1, "")}
        async with serving(listen, authenticator, [bound], probes) as port:
            yield port


async def main() -> None:
    """Serve until SIGTERM."""
    async with open_registry(RegistrySettings()):
        await until_stopped()
