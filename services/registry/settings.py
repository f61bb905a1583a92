"""Registry settings: `NANOGRID_REGISTRY_*`, and the shared ones."""

from nanogrid.settings import GridSettings


class RegistrySettings(GridSettings):
    """One registry process."""

    registry_listen: str = "127.0.0.1:50051"
    registry_store_url: str = ""  # empty = SQLite in the data folder

    @property
    def store_url(self) -> str:
        """URL of the store of functions and keys: what was asked for, else the embedded twin."""
        return self.registry_store_url or self._embedded_url

    @property
    def _embedded_url(self) -> str:
        return self.data_dir.absolute().joinpath("registry.db").as_uri().replace("file:", "sqlite:", 1)
