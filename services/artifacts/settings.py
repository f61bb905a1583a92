"""Artifacts settings: `NANOGRID_ARTIFACTS_*`, and the shared ones."""

from pathlib import Path

from pydantic import AliasChoices, Field

from nanogrid.bundle import BundleLimits
from nanogrid.limits import MAX_PAYLOAD_BYTES
from nanogrid.settings import Address, GridSettings

_BUNDLE = BundleLimits()


class ArtifactsSettings(GridSettings):
    """One artifacts process. Several may share a data folder or a pair of buckets."""

    artifacts_listen: Address = "127.0.0.1:50052"
    artifacts_code_url: str = ""  # where bundles are kept; empty = s3_bucket, else a folder below the data folder
    artifacts_data_url: str = ""  # where jobs' files are kept; empty = s3_user_data_bucket, else likewise
    s3_bucket: str = Field(
        default="", validation_alias=AliasChoices("NANOGRID_S3_BUCKET", "S3_BUCKET", "S3_CODE_BUCKET")
    )
    s3_user_data_bucket: str = Field(
        default="", validation_alias=AliasChoices("NANOGRID_S3_USER_DATA_BUCKET", "S3_USER_DATA_BUCKET")
    )
    artifacts_archive_url: str = ""  # where successes are archived too; empty = gcp_bucket_name, else nowhere
    gcp_bucket_name: str = Field(
        default="", validation_alias=AliasChoices("NANOGRID_GCP_BUCKET_NAME", "GCP_BUCKET_NAME")
    )
    artifacts_reconcile_s: float = Field(default=3600.0, ge=1)  # between looks for what is not archived yet
    artifacts_results_days: float = Field(default=7.0, ge=0)  # results in a folder are kept for; 0 = for ever
    artifacts_spool_dir: Path | None = None  # uploads on their way in, on disk; empty = below the data folder
    artifacts_upload_bytes: int = Field(default=1_000_000_000, ge=1)
    artifacts_unpacked_bytes: int = Field(default=_BUNDLE.unpacked_bytes, ge=1)
    artifacts_entries: int = Field(default=_BUNDLE.entries, ge=1)
    artifacts_ratio: int = Field(default=_BUNDLE.ratio, ge=1)
    artifacts_output_bytes: int = Field(default=1_000_000_000, ge=0)  # one output file
    artifacts_payload_bytes: int = Field(default=MAX_PAYLOAD_BYTES, ge=2)  # one payload too large for a message
    artifacts_url_ttl_s: int = Field(default=3600, ge=1, le=7 * 24 * 3600)  # S3 signs for a week at most

    @property
    def code_url(self) -> str:
        """URL of the code bucket: the configured one, else the embedded twin."""
        return self.artifacts_code_url or self._store(self.s3_bucket, "code")

    @property
    def data_url(self) -> str:
        """URL of the user-data bucket: the configured one, else the embedded twin."""
        return self.artifacts_data_url or self._store(self.s3_user_data_bucket, "data")

    @property
    def archive_url(self) -> str:
        """URL of the archive. Empty = none."""
        return self.artifacts_archive_url or (f"gs://{self.gcp_bucket_name}" if self.gcp_bucket_name else "")

    @property
    def retained_days(self) -> float:
        """Tell how long this process keeps results. 0 = it deletes none: a bucket has a rule of its own."""
        return self.artifacts_results_days if self.data_url.startswith("file:") else 0.0

    @property
    def spool_dir(self) -> Path:
        """Tell where uploads lie on their way in."""
        return (self.artifacts_spool_dir or self._folder / "spool").absolute()

    @property
    def url_secret_file(self) -> Path:
        """Return the secret that output URLs are signed with where the object store cannot sign."""
        return self._folder / "url-secret"

    @property
    def bundle_limits(self) -> BundleLimits:
        """Return the limits of the archive gate."""
        return BundleLimits(
            unpacked_bytes=self.artifacts_unpacked_bytes, entries=self.artifacts_entries, ratio=self.artifacts_ratio
        )

    def _store(self, bucket: str, name: str) -> str:
        return f"s3://{bucket}" if bucket else (self._folder / name).as_uri()

    @property
    def _folder(self) -> Path:
        return self.data_dir.absolute() / "artifacts"
