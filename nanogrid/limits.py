"""Defaults and limits of a function, for every edge that one comes in by. The command line needs a cheap import."""

import re

DEFAULT_TIMEOUT_S = 300
MAX_TIMEOUT_S = 7 * 24 * 3600  # as long as a durable result is kept by default
DEFAULT_MEMORY_MB = 512
MIN_MEMORY_MB = 64
MAX_MEMORY_MB = 10_240
MAX_CONCURRENCY = 1_000
MAX_NAME = 128
MAX_HANDLER = 256
MAX_KEY_BYTES = 1_024  # S3's own limit of an object key
MAX_ENV_BYTES = 64 * 1024  # as `size_of_env` counts; it is handed to a process, whose room is shared

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
# An id is part of object keys and of Redis keys; artifacts asks the same of the jobs whose outputs it stores.
ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,128}")
ID_MEANS = "1 to 128 characters of A-Z a-z 0-9 . _ : -"


def size_of_env(env: dict[str, str]) -> int:
    """Count the bytes of an environment: names, values, and two separators each."""
    return sum(len(name) + len(value.encode()) + 2 for name, value in env.items())


def is_relative_key(key: str) -> bool:
    """Tell whether an object key is a plain relative path: no leading /, no .., no //, no backslash."""
    return "\\" not in key and all(part not in ("", ".", "..") for part in key.split("/"))
