"""Peak memory on CloudWatch: what was observed can be read back, and nothing ever waits for it."""

import asyncio
import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
from structlog.testing import capture_logs

from services.executor.metrics import NAMESPACE, open_peaks
from support.http_api import Api, http_api
from support.moto_server import MotoServer, moto_server
from support.redis_server import free_port
from support.waiting import until

MIB = 1024 * 1024
OFTEN_S, NEVER_S = 0.05, 3600.0


def read_back(function_id: str, runtime: str = "python3.11", namespace: str = NAMESPACE) -> dict[str, float]:
    now = datetime.now(UTC)
    answer = boto3.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="PeakMemoryBytes",
        Dimensions=[{"Name": "FunctionId", "Value": function_id}, {"Name": "Runtime", "Value": runtime}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=["SampleCount", "Sum", "Minimum", "Maximum"],
    )
    total = {"SampleCount": 0.0, "Sum": 0.0}
    for point in answer["Datapoints"]:
        assert point["Unit"] == "Bytes"
        for name in total:
            total[name] += point[name]
        total["Minimum"] = min(total.get("Minimum", point["Minimum"]), point["Minimum"])
        total["Maximum"] = max(total.get("Maximum", point["Maximum"]), point["Maximum"])
    return total


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, aws: MotoServer) -> Iterator[Api]:
    """An endpoint that answers what the test says."""
    with http_api() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def told(api: Api) -> list[list[dict[str, Any]]]:
    """The data of each call as it arrived."""
    calls = []
    for asked in api.asked:
        body = gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body
        assert len(body) < 1_000_000
        calls.append(orjson.loads(body)["MetricData"])
    return calls


async def test_what_was_observed_can_be_read_back(aws: MotoServer) -> None:
    async with open_peaks("cloudwatch:", OFTEN_S) as peaks:
        for peak in (10 * MIB, 30 * MIB, 10 * MIB, 123_456_789):
            peaks.observe("f-1", "python3.11", peak)
        peaks.observe("f-1", "nodejs18.x", 1)
        peaks.observe("f-2", "python3.11", 5 * MIB)
        await until(lambda: read_back("f-2")["SampleCount"])

        assert read_back("f-1") == {
            "SampleCount": 4,
            "Sum": 50 * MIB + 123_456_789,
            "Minimum": 10 * MIB,
            "Maximum": 123_456_789,
        }
        assert read_back("f-1", "nodejs18.x")["Sum"] == 1


async def test_stopping_delivers_the_rest(aws: MotoServer) -> None:
    async with open_peaks("cloudwatch://Mine/Own", NEVER_S) as peaks:
        peaks.observe("f", "python3.11", 7)

    assert read_back("f", namespace="Mine/Own")["Sum"] == 7
    assert read_back("f")["SampleCount"] == 0


async def test_nothing_is_sent_of_what_was_not_measured_and_no_name_stops_the_rest(aws: MotoServer) -> None:
    async with open_peaks("cloudwatch:", NEVER_S) as peaks:
        peaks.observe("f", "python3.11", 0)
        peaks.observe("", "python3.11", 1)
        peaks.observe("::이름", "python3.11", 2)

    assert read_back("f")["SampleCount"] == 0
    assert (read_back("none")["Sum"], read_back("??")["Sum"]) == (1, 2)


async def test_everything_arrives_in_calls_that_cloudwatch_accepts(api: Api) -> None:
    api.on("POST /", 200, {}, Content_Type="application/x-amz-json-1.0")

    async with open_peaks("cloudwatch:", NEVER_S) as peaks:
        for number in range(2_500):
            peaks.observe(f"function-{number}", "python3.11", number + 1)
        for value in range(3_000):
            peaks.observe("busy", "python3.11", 10_000_000_000 + value)

    calls = told(api)
    assert all(len(call) <= 1000 and all(len(datum["Values"]) <= 150 for datum in call) for call in calls)
    assert sum(sum(datum["Counts"]) for call in calls for datum in call) == 5_500


async def test_what_cloudwatch_will_never_take_is_dropped_and_the_next_is_delivered(api: Api) -> None:
    refusal = {"__type": "InvalidParameterValueException", "message": "no"}
    api.on("POST /", 400, refusal, x_amzn_query_error="InvalidParameterValue;Sender")
    api.on("POST /", 200, {})

    with capture_logs() as logs:
        async with open_peaks("cloudwatch:", OFTEN_S) as peaks:
            peaks.observe("bad", "python3.11", 1)
            await until(lambda: api.asked)
            peaks.observe("good", "python3.11", 1)

    assert [[datum["Dimensions"][0]["Value"] for datum in call] for call in told(api)] == [["bad"], ["good"]]
    assert [(line["event"], line["dropped"]) for line in logs] == [("CloudWatch refused metrics", 1)]


async def test_an_outage_is_logged_once_and_what_was_observed_meanwhile_arrives(
    tmp_path: Path, aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with moto_server(tmp_path) as server, capture_logs() as logs:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        server.kill()
        async with open_peaks("cloudwatch:", OFTEN_S) as peaks:
            peaks.observe("f", "python3.11", 1)
            await until(lambda: logs)
            peaks.observe("f", "python3.11", 2)
            server.start()
            await until(lambda: len(logs) == 2)

            assert read_back("f")["Sum"] == 3

    assert [line["event"] for line in logs] == ["CloudWatch does not take metrics", "CloudWatch takes metrics again"]


@contextmanager
def black_hole() -> Iterator[str]:
    """An endpoint that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("unreachable", [black_hole, closed_port])
async def test_an_endpoint_that_cannot_be_reached_delays_neither_a_call_nor_the_end(
    unreachable: Any, aws: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowest = 0.0
    with unreachable() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        async with open_peaks("cloudwatch:", OFTEN_S) as peaks:
            for number in range(2_000):
                began = time.perf_counter()
                peaks.observe(f"f-{number % 50}", "python3.11", number + 1)
                slowest = max(slowest, time.perf_counter() - began)
                await asyncio.sleep(0)
            ending = time.perf_counter()
        took = time.perf_counter() - ending

    # Who waits for this endpoint waits for 5 s, three times.
    assert slowest < 5, "it waited for the network"
    assert took < 15, "an executor that stops was held up"


async def test_without_a_region_nothing_breaks(monkeypatch: pytest.MonkeyPatch, aws: MotoServer) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with capture_logs() as logs:
        async with open_peaks("cloudwatch:", NEVER_S) as peaks:
            peaks.observe("f", "python3.11", 1)

    assert "AWS_REGION" in logs[0]["detail"]


async def test_without_a_url_peaks_go_nowhere() -> None:
    async with open_peaks("", NEVER_S) as peaks:
        peaks.observe("f", "python3.11", 1)
