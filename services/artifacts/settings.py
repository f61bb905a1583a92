"""Artifacts settings: `NANOGRID_ARTIFACTS_*`, and the shared ones."""

from pathlib import Path

from pydantic import Field

from nanogrid.bundle import BundleLimits
from nanogrid.settings import GridSettings

_BUNDLE = BundleLimits()


class ArtifactsSettings(GridSettings):
    """One artifacts process. Several may share a data folder or a pair of buckets."""

    artifacts_listen: str = "127.0.0.1:50052"
    artifacts_code_url: str = ""  # where bundles are kept; empty = a folder below the data folder
    artifacts_data_url: str = ""  # where output files are kept; likewise
    artifacts_spool_dir: Path | None = None  # uploads on their way in, on disk; empty = below the data folder
    artifacts_upload_bytes: int = Field(default=1_000_000_000, ge=1)
    artifacts_unpacked_bytes: int = Field(default=_BUNDLE.unpacked_bytes, ge=1)
    artifacts_entries: int = Field(default=_BUNDLE.entries, ge=1)
    artifacts_ratio: int = Field(default=_BUNDLE.ratio, ge=1)
    artifacts_output_bytes: int = Field(default=1_000_000_000, ge=0)  # one output file
    artifacts_url_ttl_s: int = Field(default=3600, ge=1, le=7 * 24 * 3600)  # S3 signs for a week at most

    @property
    def code_url(self) -> str:
        """URL of the code bucket: what was asked for, else the embedded twin."""
        return self.artifacts_code_url or (self._folder / "code").as_uri()

    @property
    def data_url(self) -> str:
        """URL of the user-data bucket: what was asked for, else the embedded twin."""
        return self.artifacts_data_url or (self._folder / "data").as_uri()

    @property
    def spool_dir(self) -> Path:
        """Where uploads lie on their way in."""
        return (self.artifacts_spool_dir or self._folder / "spool").absolute()

    @property
    def url_secret_file(self) -> Path:
        """The secret that output URLs are signed with where the object store cannot sign."""
        return self._folder / "url-secret"

    @property
    def bundle_limits(self) -> BundleLimits:
        """What the archive gate lets through."""
        return BundleLimits(
            unpacked_bytes=self.artifacts_unpacked_bytes, entries=self.artifacts_entries, ratio=self.artifacts_ratio
        )

    @property
    def _folder(self) -> Path:
        return self.data_dir.absolute() / "artifacts"
