"""Which handler code has that nobody named one for, and where a handler's source must lie."""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from nanogrid.runtimes import Runtime, archive_handler


def handler_of_folder(runtime: Runtime, root_files: Collection[str]) -> str:
    """The handler of a folder whose root holds these files: as for an upload of it. Pure.

    A source file that lies there alone gives its own name, for an upload of a single file has become such a folder.
    """
    sources = [path for path in map(PurePosixPath, root_files) if path.suffix in runtime.suffixes]
    if len(sources) == 1 and not runtime.compiled:
        return f"{sources[0].stem}.handler"
    return archive_handler(runtime, (path.name for path in sources))


def source_name(runtime: Runtime, handler: str) -> str:
    """The relative path at which a single source file is found by its handler ("" = by the default one). Pure.

    Never leads out of the folder, whatever the handler is.
    """
    module = "" if runtime.compiled else handler.rpartition(".")[0]
    parts = [part for part in re.split(r"[./\\\0]", module) if part] or ["main"]
    return "/".join(parts) + runtime.suffixes[0]
