"""What a build is known by, what its failure is called, and what is taken of what it left."""

import os
from pathlib import Path

import pytest

from nanogrid.runtimes import RUNTIMES
from services.artifacts import keys
from services.executor.code.builds import key_of_build
from services.executor.code.compiler import BuildLimits, Transcript, take_program, why_it_failed
from services.executor.sandbox import CallError, OutputStream
from services.executor.sandbox.process import interpreter

SHA = "0f" * 32
EXIT_1 = CallError("ExitError", "the function's process exited with status 1")


def test_a_build_is_known_by_runtime_toolchain_and_code():
    assert key_of_build(RUNTIMES["cpp"], "debian12-gcc12", SHA) == f"cpp/debian12-gcc12/{SHA}"
    assert keys.build_key("cpp", "debian12-gcc12", SHA) == f"builds/cpp/debian12-gcc12/{SHA}"


@pytest.mark.parametrize(
    ("error", "said", "message"),
    [
        (
            EXIT_1,
            "In file included from x.cpp:1:\n./y.h:3:1: error: no\n",
            "the code cannot be built: y.h:3:1: error: no",
        ),
        (EXIT_1, "a.cpp:1:2: warning: odd\na.cpp:2:3: error: bad\n", "the code cannot be built: a.cpp:2:3: error: bad"),
        (EXIT_1, "# function\n./main.go:4:2: undefined: x\n", "the code cannot be built: main.go:4:2: undefined: x"),
        (EXIT_1, "the code has no .cpp file\n", "the code cannot be built: the code has no .cpp file"),
        (EXIT_1, "", "the code cannot be built: the function's process exited with status 1"),
        (CallError("Timeout", "x"), "", "the build was cut off after 300 s"),
        (CallError("OutOfMemory", "x"), "", "the build ran out of memory; the limit is 2048 MB"),
        (CallError("HandlerError", "odd"), "", "the build failed: odd"),
    ],
)
def test_a_failure_says_what_the_author_needs(error: CallError, said: str, message: str):
    assert why_it_failed(error, said, BuildLimits()) == CallError("BuildError", message, said)


def test_a_complaint_without_end_is_cut():
    said = "main.cpp:1:1: error: " + "x" * 100_000

    assert len(why_it_failed(EXIT_1, said, BuildLimits()).message) < 600


def test_a_transcript_keeps_the_beginning_and_the_last_lines_and_says_what_it_cut():
    transcript = Transcript()
    for _ in range(100):
        transcript.take(OutputStream.STDERR, "가나다\n".encode() * 100)
    transcript.take(OutputStream.STDOUT, b"the end\n")

    text = transcript.text()

    beginning, _, rest = text.partition("\n[cut: ")
    cut, _, end = rest.partition(" more bytes]\n")
    assert beginning.startswith("가나다\n")
    assert end.startswith("가나다\n")
    assert end.endswith("가나다\nthe end\n")
    assert len(end.encode()) <= 4096
    # One character was torn, and its bytes are replaced by a mark.
    assert abs(64 * 1024 + int(cut) + len(end.encode()) - (100 * 1000 + 8)) <= 4


@pytest.mark.parametrize("size", [0, 10, 64 * 1024, 64 * 1024 + 4096])
def test_a_transcript_that_fits_is_whole(size: int):
    transcript = Transcript()
    for _ in range(size):
        transcript.take(OutputStream.STDERR, b"x")

    assert transcript.text() == "x" * size


def test_the_program_is_taken_as_it_is(tmp_path: Path):
    (tmp_path / "program").write_bytes(b"\x7fELF")

    assert take_program(tmp_path, tmp_path / "taken", 4) is None
    assert (tmp_path / "taken").read_bytes() == b"\x7fELF"


def _link(folder: Path) -> None:
    (folder / "program").symlink_to("/etc/passwd")


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "program")


def _folder(folder: Path) -> None:
    (folder / "program").mkdir()


def _nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize("leave", [_link, _fifo, _folder, _nothing])
def test_what_is_no_file_is_not_taken(tmp_path: Path, leave):
    leave(tmp_path)

    assert take_program(tmp_path, tmp_path / "taken", 10**9) == CallError("BuildError", "the build left no program")
    assert not (tmp_path / "taken").exists()


def test_a_program_over_the_limit_is_refused_with_both_numbers(tmp_path: Path):
    (tmp_path / "program").write_bytes(bytes(11))

    refused = take_program(tmp_path, tmp_path / "taken", 10)

    assert refused == CallError("BuildError", "the program is 11 bytes; the limit is 10 bytes")


def test_the_machines_own_cpp_is_no_cpp_runtime():
    assert interpreter(RUNTIMES["cpp"]) is None  # /usr/bin/cpp is the C preprocessor
    assert interpreter(RUNTIMES["go"]) is None
