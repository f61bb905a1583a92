"""The log of calls: one line each, whole, and in the order of their ends."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from nanogrid.call_log import configure_calls, log_call


@pytest.fixture(autouse=True)
def _named() -> Iterator[None]:
    configure_calls("test", enabled=True)
    yield
    configure_calls("test", enabled=False)


async def test_each_call_is_a_line_of_json_with_what_is_known(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log_call("request", path="/한", status=200, request_id="r-1", job_id="")
    log_call("request", path="/b", status=0, request_id="r-2", job_id="job-2")
    await asyncio.sleep(0)

    first, second = (json.loads(line) for line in capfdbinary.readouterr().err.splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "request", "service": "test", "level": "info", "path": "/한", "status": 200, "request_id": "r-1",
    }  # fmt: skip
    assert (second["request_id"], second["job_id"], second["status"]) == ("r-2", "job-2", 0)


async def test_above_info_nothing_is_logged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_calls("test", enabled=False)

    log_call("request", path="/a")
    await asyncio.sleep(0)

    assert capfdbinary.readouterr().err == b""
