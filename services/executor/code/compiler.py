"""Bounds a build, records its output and takes its program out of the sandbox, as output of hostile code."""

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from services.executor.sandbox import CallError, OutputStream

_KEPT_BYTES = 64 * 1024  # of a compiler's first lines, where the errors that matter are
_END_BYTES = 4 * 1024  # of its last lines, where a linker's are
_LINE_CHARS = 500
_HINT = "hint: "  # begins a line of advice from the builder itself

# Lines that name the cause of a failed build, the clearest kind first. Warnings and notes never match.
_COMPLAINTS = (
    re.compile(r"^(?!collect2: ).*: (?:fatal error|error|Error): "),  # g++ and the assembler
    re.compile(r"^(?!.*: (?:warning|note): )\S+?:\d+:.*\S"),  # `./main.go:3:2: …`, a place in the code
    re.compile(r"^(?!.*: warning: ).*(?:undefined reference to|multiple definition of|cannot find) "),  # the linker
    re.compile(r"^go: "),
)
# Parts of a linker's lines: its own name, an object file, a section, the source file of an object.
_LINKER = re.compile(r"^/\S*ld: ")
_CONTEXT = re.compile(r"^\./(.*)\.o: in function ")
_SECTION = re.compile(r":?\(\.[^)]*\)")
_OBJECT = re.compile(r"\.o(?::[^:;]+)?(?=: )")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """The limits of one build."""

    memory_mb: int = 2048
    timeout_s: float = 300.0
    cpus: float = 2.0
    program_bytes: int = 256_000_000


class Transcript:
    """The output of a build, both streams in order of arrival. Holds the first 64 KiB and the last lines."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._end = bytearray()
        self._seen = 0

    def take(self, stream: OutputStream, data: bytes) -> None:  # noqa: ARG002 - compilers write to both
        """Add the next piece, as far as it fits."""
        self._seen += len(data)
        room = _KEPT_BYTES - len(self._kept)
        self._kept += data[:room]
        self._end += data[room:]
        del self._end[:-_END_BYTES]

    def text(self) -> str:
        """Return the output as text, with a mark where it was cut."""
        text, end = self._kept.decode(errors="replace"), self._end.decode(errors="replace")
        cut = self._seen - len(self._kept) - len(self._end)
        if not cut:
            return text + end
        torn, _, lines = end.partition("\n")
        return f"{text}\n[cut: {cut + len(torn.encode()) + 1} more bytes]\n{lines}"


def why_it_failed(error: CallError, said: str, limits: BuildLimits) -> CallError:
    """Return the job's error for a build that ended with `error` after printing `said`. Pure."""
    if error.type == "Timeout":
        message = f"the build was cut off after {limits.timeout_s:g} s"
    elif error.type == "OutOfMemory":
        message = f"the build ran out of memory; the limit is {limits.memory_mb} MB"
    elif error.type == "ExitError":
        message = f"the code cannot be built: {_complaint(said) or error.message}"
    else:
        message = f"the build failed: {error.message}"
    return CallError("BuildError", message, said)


def _complaint(said: str) -> str:
    """Return the line that names the cause, with the builder's hints."""
    lines = [_LINKER.sub("", line.strip()) for line in said.splitlines() if line.strip()]
    hints = [line.removeprefix(_HINT) for line in lines if line.startswith(_HINT)]
    lines = [line for line in lines if not line.startswith(_HINT)]
    if not lines:
        return "; ".join(hints)
    found = (at for pattern in _COMPLAINTS for at, line in enumerate(lines) if pattern.match(line))
    at = next(found, len(lines) - 1)
    line = lines[at]
    if " of `" in line or " to `" in line:
        line = _linkers(line, lines[at - 1] if at else "")
    elif line.endswith(":") and at + 1 < len(lines):
        line = f"{line} {lines[at + 1]}"
    return "; ".join([line.removeprefix("./")[:_LINE_CHARS], *hints])


def _linkers(line: str, before: str) -> str:
    """Replace object files and sections in a linker's line by the source file."""
    line = _OBJECT.sub("", _SECTION.sub("", line)).replace(" ./", " ").lstrip(": ")
    source, colon, rest = line.partition(": ")
    if (context := _CONTEXT.match(before)) and context[1].endswith(f"/{source}"):
        return f"{context[1]}{colon}{rest}"
    return line


def take_program(output: Path, to: Path, limit: int) -> CallError | None:
    """Copy `program` out of a sandbox's /output without following links. Return the job's error, or None. Blocks."""
    nothing = CallError("BuildError", "the build left no program")
    try:
        # O_NONBLOCK, because it may be a FIFO.
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
