"""The spool: nothing in it outlives its use, its process, or a crash."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nanogrid.errors import UnavailableError
from services.artifacts.spool import Spool, open_spool, sweep


def test_a_file_is_gone_after_its_block(tmp_path: Path) -> None:
    def break_off(spool: Spool) -> None:
        with spool.file() as path:
            path.write_bytes(b"half")
            raise KeyError

    with open_spool(tmp_path) as spool:
        with pytest.raises(KeyError):
            break_off(spool)
        with spool.file():
            pass  # never written

        assert [kept for kept in tmp_path.rglob("*") if kept.is_file()] == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_is_a_reason_to_try_again(tmp_path: Path) -> None:
    def overfill(spool: Spool) -> None:
        with spool.file() as path, path.open("wb", buffering=0) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_spool(tmp_path) as spool:
        with pytest.raises(UnavailableError, match="No space left"):
            overfill(spool)

        assert [kept for kept in tmp_path.rglob("*") if kept.is_file()] == []


def test_a_living_processs_spool_is_left_alone(tmp_path: Path) -> None:
    with open_spool(tmp_path) as first, first.file() as path:
        path.write_bytes(b"in use")
        with open_spool(tmp_path):
            assert path.read_bytes() == b"in use"


def test_a_killed_processs_spool_is_swept(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from services.artifacts.spool import open_spool
        with open_spool(Path(sys.argv[1])) as spool, spool.file() as path:
            path.write_bytes(b"left")
            print("ready", flush=True)
            sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert sweep(tmp_path) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"left"]
    assert sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_many_that_start_at_once_all_keep_their_own(tmp_path: Path) -> None:
    barrier = threading.Barrier(12)
    seen: list[bool] = []

    def start() -> None:
        barrier.wait()
        for _ in range(20):
            with open_spool(tmp_path) as spool, spool.file() as path:
                path.write_bytes(b"mine")
                seen.append(path.read_bytes() == b"mine")

    threads = [threading.Thread(target=start) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [True] * 240
