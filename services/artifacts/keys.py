"""Checks the names of uploads and outputs, and makes object keys of them."""

import re
from pathlib import PurePosixPath

from nanogrid.errors import InvalidFieldError
from nanogrid.limits import ID, ID_MEANS
from nanogrid.runtimes import SOURCE_SUFFIXES
from services.artifacts.blobs import KEY_BYTES

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_NAME_BYTES = 255

_RUNTIME = re.compile(r"[a-z][a-z0-9.]{0,31}")
_TOOLCHAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_OUTPUTS = "outputs"


def code_key(function_id: str) -> str:
    """Return the key of a function's bundle. InvalidFieldError unless the id is a UUID in lower case."""
    if not _UUID.fullmatch(function_id):
        raise InvalidFieldError("function_id", "is not a UUID in lower case")
    return f"functions/{function_id}/code.zip"


def is_given_name(function_id: str) -> bool:
    """Tell whether an id was given by hand, so that nothing was ever uploaded for it."""
    return bool(ID.fullmatch(function_id)) and not _UUID.fullmatch(function_id.lower())


def is_single_source(filename: str) -> bool:
    """Tell whether an upload of this name is one source file, else it is a zip.

    InvalidFieldError for any other name.
    """
    if "/" in filename or _UNSAFE.search(filename) or len(filename.encode(errors="replace")) > _NAME_BYTES:
        raise InvalidFieldError("filename", f"is no plain file name of at most {_NAME_BYTES} bytes; leave folders out")
    suffix = PurePosixPath(filename).suffix
    if suffix.lower() == ".zip":
        return False
    if suffix not in SOURCE_SUFFIXES:
        able = " ".join(SOURCE_SUFFIXES)
        raise InvalidFieldError("filename", f"ends in {suffix[:20]!r}; upload one of {able} .zip")
    return True


def result_key(job_id: str) -> str:
    """Return the key of a job's durable result. InvalidFieldError unless the id is one."""
    return f"results/{_job_id(job_id)}.json"


def job_of_result(key: str) -> str | None:
    """Return the job of a durable result's key, or None for any other key."""
    job_id = key.removeprefix("results/").removesuffix(".json")
    return job_id if ID.fullmatch(job_id) and key == result_key(job_id) else None


def payload_key(job_id: str) -> str:
    """Return the key of a payload too large for a message. InvalidFieldError likewise."""
    return f"payloads/{_job_id(job_id)}.json"


def output_key(job_id: str, path: str) -> str:
    """Return the key of a job's output file. InvalidFieldError names the part that cannot be."""
    _job_id(job_id)
    if _UNSAFE.search(path) or any(part in ("", ".", "..") for part in path.split("/")):
        why = "is not a plain relative path; use `/` between folders, no `..`, no backslash, no control characters"
        raise InvalidFieldError("path", why)
    key = f"{_OUTPUTS}/{job_id}/{path}"
    size = _size(key)
    if size > KEY_BYTES:
        raise InvalidFieldError("path", f"makes a key of {size} bytes; the limit is {KEY_BYTES} bytes")
    return key


def check_output_key(key: str) -> str:
    """Return the key, if `output_key` could have made it. InvalidFieldError otherwise."""
    folder, _, rest = key.partition("/")
    job_id, _, path = rest.partition("/")
    if folder != _OUTPUTS:
        raise InvalidFieldError("key", "is not that of an output file, `outputs/{job_id}/{path}`")
    return output_key(job_id, path)


def build_key(runtime: str, toolchain: str, code_sha256: str) -> str:
    """Return the key of a build: a bundle, built by a toolchain. InvalidFieldError names the part that cannot be."""
    if not _RUNTIME.fullmatch(runtime):
        raise InvalidFieldError("runtime", "is not the canonical name of a runtime")
    if not _TOOLCHAIN.fullmatch(toolchain):
        raise InvalidFieldError("toolchain", "is not 1 to 64 characters of `a-z 0-9 . _ -`, a letter or digit first")
    if not _SHA256.fullmatch(code_sha256):
        raise InvalidFieldError("code_sha256", "is not 64 lower-case hex digits")
    return f"builds/{runtime}/{toolchain}/{code_sha256}"


def _job_id(job_id: str) -> str:
    if not ID.fullmatch(job_id):
        raise InvalidFieldError("job_id", f"is not {ID_MEANS}")
    return job_id


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidFieldError("path", "is not UTF-8") from None
