"""The limits of a build, its transcript and its program: everything in its sandbox was written by hostile code."""

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from services.executor.sandbox import CallError, OutputStream

_KEPT_BYTES = 64 * 1024  # of what a compiler says; its first errors are the ones that matter
_LINE_CHARS = 500

# `main.cpp:3:5: error: …`, `./main.go:3:2: …`: a place in the code, and not a mere remark about it.
_COMPLAINT = re.compile(r"^(?!.*: (?:warning|note): )\S+?:\d+:.*\S")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """The limits of one build."""

    memory_mb: int = 2048
    timeout_s: float = 300.0
    cpus: float = 2.0
    program_bytes: int = 256_000_000


class Transcript:
    """The output of a build, both streams in order of arrival. Holds at most 64 KiB."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._seen = 0

    def take(self, stream: OutputStream, data: bytes) -> None:  # noqa: ARG002 - compilers write to either
        """Keep the next piece, as far as it fits."""
        self._seen += len(data)
        self._kept += data[: _KEPT_BYTES - len(self._kept)]

    def text(self) -> str:
        """Return all of it as text, with a mark where it was cut."""
        text = self._kept.decode(errors="replace")
        cut = self._seen - len(self._kept)
        return f"{text}\n[cut: {cut} more bytes]" if cut else text


def why_it_failed(error: CallError, said: str, limits: BuildLimits) -> CallError:
    """Return the job's error for a build that ended with `error` after printing `said`. Pure."""
    if error.type == "Timeout":
        message = f"the build was cut off after {limits.timeout_s:g} s"
    elif error.type == "OutOfMemory":
        message = f"the build ran out of memory; the limit is {limits.memory_mb} MB"
    elif error.type == "ExitError":
        message = f"the code cannot be built: {_first_complaint(said) or error.message}"
    else:
        message = f"the build failed: {error.message}"
    return CallError("BuildError", message, said)


def _first_complaint(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaint = next((line for line in lines if _COMPLAINT.match(line)), lines[-1] if lines else "")
    return complaint.removeprefix("./")[:_LINE_CHARS]


def take_program(output: Path, to: Path, limit: int) -> CallError | None:
    """Copy `program` out of a sandbox's /output, following no link. Else the job's error. Blocks."""
    nothing = CallError("BuildError", "the build left no program")
    try:
        # Not blocking: it may be a FIFO.
        descriptor = os.open(output / "program", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return nothing
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return nothing
        if found.st_size > limit:
            return CallError("BuildError", f"the program is {found.st_size} bytes; the limit is {limit} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as source, to.open("xb") as target:
            shutil.copyfileobj(source, target, _KEPT_BYTES)
    finally:
        os.close(descriptor)
    return None
