"""A single source file as a zip of itself: the same bytes for the same name and content, today and on any machine."""

import shutil
import stat
import zipfile
from pathlib import Path

_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can name
_UNIX = 3
_COPY_BYTES = 256 * 1024


def pack_single(source_path: Path, name: str, destination: Path) -> None:
    """Write a zip at `destination` with the one file `name` in it. Whether the name will do is for `inspect` to say.

    Stored, not deflated: deflated bytes, and with them the digest, differ between versions of zlib.
    """
    info = zipfile.ZipInfo(name, _BEGINNING)
    info.create_system = _UNIX
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = source_path.stat().st_size
    with (
        source_path.open("rb") as source,
        zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as archive,
        archive.open(info, "w") as target,
    ):
        shutil.copyfileobj(source, target, _COPY_BYTES)
