"""gRPC ignores arguments it does not know, in silence: every one that is set anywhere is known to its binary."""

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc

from nanogrid.rpc import client, server

ROOT = Path(__file__).parents[2]
ARGUMENT = re.compile(r'"(grpc\.[a-z0-9_.]+)"')
SOURCES = [
    path
    for folder in ("nanogrid", "services", "gateway", "benchmarks", "tests", "deploy", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
]
NAMED = {name for path in SOURCES for name in ARGUMENT.findall(path.read_text())}


@pytest.fixture(scope="module")
def binary() -> bytes:
    return Path(cygrpc.__file__).read_bytes()


def knows(binary: bytes, name: str) -> bool:
    return name.encode() + b"\0" in binary


def test_every_argument_in_the_sources_is_known_to_the_library(binary: bytes) -> None:
    assert {name for name in NAMED if not knows(binary, name)} == set()


def test_the_arguments_of_servers_and_clients_are_among_them() -> None:
    assert {name for name, _ in (*client.OPTIONS, *server.OPTIONS)} <= NAMED


def test_a_name_that_is_documented_but_unknown_would_be_found(binary: bytes) -> None:
    assert not knows(binary, "grpc.http2.min_recv_ping_interval_without_data_ms")


def test_servers_let_the_keepalives_of_clients_pass() -> None:
    sent, allowed = dict(client.OPTIONS), dict(server.OPTIONS)

    assert allowed["grpc.http2.min_ping_interval_without_data_ms"] < sent["grpc.keepalive_time_ms"]
