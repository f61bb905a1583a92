import os
from pathlib import Path

from services.executor.sandbox.folder import write_payload


def test_the_payload_file_holds_the_last_payload_and_nothing_of_those_before(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)

    for payload in (b'{"long":"xxxxxxxxxxxxxxxx"}', b"{}", b"", b"[1,2]"):
        write_payload(descriptor, payload)

        assert path.read_bytes() == payload
    os.close(descriptor)
