"""What the command line says of what goes wrong."""

import json
import os

import pytest

from support.command_line import COMPLETED, FUNCTION_ID
from support.redis_server import free_port

PROBLEM = {"title": "Not Found", "detail": "function 1 is not known", "status": 404, "request_id": "r1"}


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 4), (403, 4), (404, 3), (413, 2), (429, 5), (500, 6), (503, 5)]
)
def test_a_problem_is_told_on_stderr_with_an_exit_code_of_its_kind(api, nanogrid, status, code):
    api.on("GET /status/job-1", status, PROBLEM)

    left, out, err = nanogrid("status", "job-1")

    assert (left, out) == (code, "")
    assert "function 1 is not known" in err


def test_a_fault_of_the_platform_names_the_request_to_look_for(api, nanogrid):
    api.on("GET /status/job-1", 500, PROBLEM)

    assert "request r1" in nanogrid("status", "job-1")[2]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_something_that_is_no_nanogrid_is_said_to_be_none(api, nanogrid, body):
    api.on("GET /status/job-1", 200, body)
    api.on("GET /status/job-2", 502, body)

    assert nanogrid("status", "job-1")[0] == 5
    assert nanogrid("status", "job-2")[0] == 5


def test_nobody_answering_is_unavailable_and_the_cure_named(api, nanogrid):
    code, _, err = nanogrid("status", "job-1", "--url", f"http://127.0.0.1:{free_port()}")

    assert code == 5
    assert "nanogrid up" in err


@pytest.mark.parametrize("url", ["nonsense", "http://x:port", "ftp://x"])
def test_an_address_that_is_none_is_a_usage_error(api, nanogrid, url):
    assert nanogrid("status", "job-1", "--url", url)[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["run"],
        ["run", FUNCTION_ID, "{"],
        ["upload", "missing.py"],
        ["upload", "x.py", "--memory", "1"],
        ["functions", "list", "--limit", "0"],
        ["status", "job-1", "-o", "xml"],
    ],
)
def test_what_cannot_be_meant_leaves_with_two_and_asks_nobody(api, nanogrid, arguments):
    assert nanogrid(*arguments)[0] == 2
    assert api.asked == []


def test_a_proxy_in_the_environment_is_not_asked_about_this_machine(api, nanogrid, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    api.on("GET /status/job-1", 200, COMPLETED)

    assert nanogrid("status", "job-1")[0] == 0


def test_down_stops_nothing_where_nothing_is_up(api, nanogrid, tmp_path):
    stranger = {"pid": os.getpid(), "started": "of another boot", "url": api.url}
    rest = ["registry_address", "artifacts_address", "invoker_address", "redis_url", "sandbox_url", "executors", "logs"]
    (tmp_path / ".nanogrid").mkdir()
    (tmp_path / ".nanogrid" / "grid.json").write_text(json.dumps(stranger | dict.fromkeys(rest, "")))

    code, _, err = nanogrid("down")

    assert code == 0
    assert "no grid is up" in err


def test_up_that_cannot_start_says_why(api, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_GATEWAY_LISTEN", api.url.removeprefix("http://"))

    code, _, err = nanogrid("up")

    assert code == 5
    assert "NANOGRID_GATEWAY_LISTEN=127.0.0.1:0" in err
