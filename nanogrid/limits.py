"""Defaults and limits of functions, for every edge that accepts them. Cheap to import, for the command line."""

import re

DEFAULT_TIMEOUT_S = 300
MAX_TIMEOUT_S = 7 * 24 * 3600  # as long as a durable result is kept by default
DEFAULT_MEMORY_MB = 512
MIN_MEMORY_MB = 64
MAX_MEMORY_MB = 10_240
MAX_CONCURRENCY = 1_000
MAX_NAME = 128
MAX_HANDLER = 256
MAX_KEY_BYTES = 1_024  # S3's limit for an object key
MAX_PAYLOAD_BYTES = 32_000_000  # by default, of the event and of the result alike
MAX_ENV_BYTES = 64 * 1024  # as `size_of_env` counts; the kernel limits the environment of a process

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
# Ids are parts of object keys and Redis keys. Artifacts has the same rule for job ids.
ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,128}")
ID_MEANS = "1 to 128 characters of A-Z a-z 0-9 . _ : -"


def size_of_env(env: dict[str, str]) -> int:
    """Return the bytes of an environment: names, values and two separators each."""
    return sum(len(name) + len(value.encode()) + 2 for name, value in env.items())


def is_relative_key(key: str) -> bool:
    """Return whether an object key is a plain relative path: no leading /, no .., no //, no backslash."""
    return "\\" not in key and all(part not in ("", ".", "..") for part in key.split("/"))
