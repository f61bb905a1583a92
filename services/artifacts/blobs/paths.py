"""Object keys as paths of a file system: every key has one, no two share one, none leads outside.

An ordinary key is its own path (`functions/…/code.zip`), so that an operator can put files in place by hand. A file
name without a dot gets `%f` behind it, and a folder name with one gets `%d`: so a key never needs a folder where
another needs a file. `%` and control characters are written as `%XX`, and a name that comes out too long for a file
system is replaced by its digest, `%~…`. Names starting with `%t` or `%m` never come out and are free for other uses.
"""

import hashlib
import re
from pathlib import PurePosixPath

from nanogrid.errors import InvalidFieldError
from services.artifacts.blobs import check_object_key

DIGESTED = "%~"  # how a part begins that does not say what it stands for

_ESCAPED = re.compile(r"[%\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_PART_BYTES = 255 - len("%f")  # NAME_MAX of every usual file system


def path_of(key: str) -> PurePosixPath:
    """Return the relative path of a key. InvalidFieldError for a key that `check_key` refuses."""
    *folders, name = check_object_key(key).split("/")
    return PurePosixPath(*map(_folder, folders), _file(name))


def folder_of(prefix: str) -> PurePosixPath:
    """Return the folder that holds exactly the keys with this prefix, which ends in `/`.

    InvalidFieldError as for a key.
    """
    return PurePosixPath(*map(_folder, check_object_key(prefix.removesuffix("/")).split("/")))


def key_of(path: str) -> str | None:
    """Return the key of a path, or None where it has none or a part of it is a digest."""
    *folders, name = path.split("/")
    read = [part.removesuffix("%d") for part in folders] + [name.removesuffix("%f")]
    key = "/".join(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), part) for part in read)
    try:
        return key if str(path_of(key)) == path else None  # what we would not have written is another's
    except InvalidFieldError:
        return None


def _folder(name: str) -> str:
    return _written(name) + ("%d" if "." in name else "")


def _file(name: str) -> str:
    return _written(name) + ("" if "." in name else "%f")


def _written(name: str) -> str:
    text = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", name)
    return text if len(text.encode()) <= _PART_BYTES else DIGESTED + hashlib.sha256(name.encode()).hexdigest()
