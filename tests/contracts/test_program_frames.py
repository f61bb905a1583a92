"""The resident runtime of compiled functions on its own: it reads whatever JSON the executor may write."""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.json_values import nested
from support.waiting import WATCHDOG_S

SOURCE = Path(__file__).parents[2] / "deploy/images/program/program.c"
LENGTH = struct.Struct(">I")
SAYS_WHAT_IT_GOT = """#!/usr/bin/python3 -ES
import json, os, sys
env = {name: value for name, value in os.environ.items() if name.startswith("Z") or name in ("JOB_ID", "PAYLOAD")}
print(json.dumps([env, len(sys.stdin.buffer.read()), os.getcwd()]))
"""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
values = nested(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts, names=texts
)
QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def resident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runtime, watched over by the compiler's sanitizers, and a program for it to run."""
    compiler = shutil.which("gcc")
    if compiler is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("gcc is not installed")
    folder = tmp_path_factory.mktemp("resident")
    command = [compiler, "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run([*command, "-o", str(folder / "runtime"), str(SOURCE)], check=True)
    (folder / "program").write_text(SAYS_WHAT_IT_GOT)
    (folder / "program").chmod(0o755)
    return folder


class Talk:
    """The executor's end of the socket."""

    def __init__(self, connection: socket.socket, out: IO[str]) -> None:
        self._connection = connection
        self._out = out

    def send(self, kind: bytes, body: bytes) -> None:
        self._connection.sendall(LENGTH.pack(1 + len(body)) + kind + body)

    def hear(self) -> tuple[bytes, bytes]:
        (size,) = LENGTH.unpack(self._exactly(LENGTH.size))
        frame = self._exactly(size)
        return frame[:1], frame[1:]

    def specialise(self, folder: Path, ascii_only: bool, **fields: Any) -> None:
        function = {"env": {"PAYLOAD_FILE": str(folder / "payload")}, "code": str(folder), "own_pids": False} | fields
        self.send(b"S", json.dumps(function, ensure_ascii=ascii_only).encode())
        assert self.hear() == (b"R", b'{"kind":"program"}')

    def call(self, folder: Path, ascii_only: bool, payload: bytes, **header: Any) -> Any:
        (folder / "payload").write_bytes(payload)
        head = json.dumps(header, ensure_ascii=ascii_only).encode()
        self.send(b"C", LENGTH.pack(len(head)) + head + payload)
        printed = json.loads(self._out.readline())
        assert self.hear() == (b"D", LENGTH.pack(26) + b'{"exit_code":0,"signal":0}')
        return printed

    def ends(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while self._connection.recv(65536):
                pass

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self._connection.recv(size - len(found))
            assert piece, "the runtime hung up"
            found += piece
        return found


@contextmanager
def talking(folder: Path, ends_with: int = 0) -> Iterator[Talk]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "control.sock"))
        listener.listen(1)
        env = {"NANOGRID_IO": str(folder), "PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=0", "Zown": "x"}
        command = [str(folder / "runtime"), "/opt/nanogrid/cpp"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, errors="replace") as process:
            connection, _ = listener.accept()
            (folder / "control.sock").unlink()
            assert process.stdout is not None
            with connection:
                talk = Talk(connection, process.stdout)
                kind, hello = talk.hear()
                assert (kind, json.loads(hello)["runtime"]) == (b"H", "cpp")
                yield talk
            said = process.communicate(timeout=WATCHDOG_S)[1]
    assert process.returncode in (0, ends_with), said


@QUICK
@given(
    variables=st.dictionaries(st.from_regex(r"Z[A-Za-z0-9_]{0,8}", fullmatch=True), texts, max_size=8),
    job_ids=st.lists(texts, min_size=1, max_size=3),
    others=st.dictionaries(st.sampled_from(["handler", "memory_mb", "mode", "x"]), values),
    ascii_only=st.booleans(),
)
def test_what_the_executor_says_arrives_as_it_was_meant(
    resident: Path, variables: dict[str, str], job_ids: list[str], others: dict[str, Any], *, ascii_only: bool
) -> None:
    with talking(resident) as talk:
        env = {**variables, "PAYLOAD_FILE": str(resident / "payload")}
        talk.specialise(resident, ascii_only, env=env, **others)
        for job_id in job_ids:
            payload = json.dumps(others).encode()
            said = talk.call(resident, ascii_only, payload, before=others, job_id=job_id, after=others)

            wanted = {"Zown": "x", **variables, "JOB_ID": job_id, "PAYLOAD": payload.decode()}
            assert said == [wanted, len(payload), str(resident)]


@pytest.mark.parametrize(("size", "kept"), [(98_304, 98_304), (98_305, 0), (3_000_000, 0)])
def test_a_variable_holds_96_kib(resident: Path, size: int, kept: int) -> None:
    with talking(resident) as talk:
        talk.specialise(resident, ascii_only=True)

        env, stdin_bytes, _ = talk.call(resident, True, b'"' + b"x" * (size - 2) + b'"', job_id="a")

    assert (len(env["PAYLOAD"]), stdin_bytes) == (kept, size)


@QUICK
@given(data=st.data())
def test_garbage_ends_it_without_a_fault(resident: Path, data: st.DataObject) -> None:
    sound = json.dumps({"env": {"A": "b\u1234\n"}, "code": "/tmp", "n": [1, {"x": None}], "own_pids": False}).encode()
    body = bytearray(sound)
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[place] = data.draw(st.integers(0, 255))

    with talking(resident, ends_with=125) as talk:
        talk.send(b"S", bytes(body))
        talk.ends()
