"""Registry settings: `NANOGRID_REGISTRY_*`, and the shared ones."""

from pydantic import AliasChoices, Field

from nanogrid.settings import Address, GridSettings


class RegistrySettings(GridSettings):
    """One registry process."""

    registry_listen: Address = "127.0.0.1:50051"
    registry_store_url: str = ""  # empty = dynamodb_table, else SQLite in the data folder
    dynamodb_table: str = Field(default="", validation_alias=AliasChoices("NANOGRID_DYNAMODB_TABLE", "DYNAMODB_TABLE"))

    @property
    def store_url(self) -> str:
        """URL of the store of functions and keys: the configured one, else the embedded twin."""
        if self.registry_store_url or not self.dynamodb_table:
            return self.registry_store_url or self._embedded_url
        return f"dynamodb://{self.dynamodb_table}"

    @property
    def _embedded_url(self) -> str:
        return self.data_dir.absolute().joinpath("registry.db").as_uri().replace("file:", "sqlite:", 1)
