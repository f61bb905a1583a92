"""Settings of the artifacts service for tests over real gRPC."""

from pathlib import Path

from services.artifacts.settings import ArtifactsSettings

TOKEN = "the-grids-own"
FUNCTION = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
KEY = f"functions/{FUNCTION}/code.zip"


def settings_for(data_dir: Path, **over) -> ArtifactsSettings:
    return ArtifactsSettings(
        data_dir=data_dir, artifacts_listen="127.0.0.1:0", auth="on", internal_token=TOKEN,
        **{"artifacts_upload_bytes": 3_000_000, "artifacts_output_bytes": 2_000_000} | over,
    )  # fmt: skip
