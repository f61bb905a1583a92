"""The gateway's edge: identity, request ids, problems, health, documentation."""

import json
import re
import socket

import httpx
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.settings import GatewaySettings
from nanogrid.errors import UnavailableError
from nanogrid.v1.registry_pb2 import RevokeApiKeyRequest
from support.gateway_grid import gateway_grid, running_gateway
from support.waiting import WATCHDOG_S


@pytest.fixture
async def grid(tmp_path):
    async with gateway_grid(tmp_path) as opened:
        yield opened


@pytest.fixture
async def stranger(grid):
    """A client without a key."""
    async with httpx.AsyncClient(base_url=grid.url, trust_env=False, verify=False, timeout=WATCHDOG_S) as http:
        yield http


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "code", "reason", "retryable", "request_id"} <= body.keys()
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


async def test_health_is_healthy_without_a_key(stranger):
    answer = await stranger.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy"}


async def test_health_answers_head_requests_of_monitors(grid):
    assert (await grid.http.head("/health")).status_code == 200


async def test_ready_names_every_service(stranger):
    answer = await stranger.get("/ready")

    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "ready"
    assert told["executors"] == {"alive": 1, "runtimes": ["python3.11"], "problems": {}}
    assert set(told["dependencies"]) == {
        *("registry", "artifacts", "invoker", "redis", "queue", "functions table", "object store")
    }
    assert set(told["dependencies"].values()) == {"serving"}


async def test_a_balancer_may_ask_by_head(stranger):
    assert (await stranger.head("/ready")).status_code == 200


async def test_ready_says_which_service_is_not_there(tmp_path):
    async with gateway_grid(tmp_path, invoker_address="127.0.0.1:1") as grid:
        answer = await grid.http.get("/ready")

    assert answer.status_code == 503
    assert answer.json()["dependencies"]["invoker"] == "unreachable"
    assert answer.json()["dependencies"]["redis"] == "unreachable"
    assert answer.json()["dependencies"]["registry"] == "serving"


async def test_ready_says_within_two_seconds_which_service_is_silent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with gateway_grid(tmp_path, artifacts_address=address) as grid:
            answer = await grid.http.get("/ready")

    assert answer.status_code == 503
    states = answer.json()["dependencies"]
    assert (states["artifacts"], states["object store"], states["registry"]) == ("silent", "silent", "serving")
    assert address not in answer.text


async def test_ready_says_what_a_service_says_of_its_dependencies(tmp_path):
    async with gateway_grid(tmp_path) as grid:
        grid.invoker.broken.add("redis")
        answer = await grid.http.get("/ready")

    assert answer.status_code == 503
    assert answer.json()["dependencies"]["redis"] == "not_serving"
    assert answer.json()["dependencies"]["queue"] == "serving"


async def test_a_gateway_with_nothing_behind_it_is_healthy_and_answers_503(tmp_path):
    nowhere = {f"{name}_address": "127.0.0.1:1" for name in ("registry", "artifacts", "invoker")}
    settings = GatewaySettings(auth="off", **nowhere)
    async with (
        running_gateway(settings) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=WATCHDOG_S) as http,
    ):
        assert (await http.get("/health")).status_code == 200
        body = problem(await http.post("/run", json={"function_id": "x"}), 503)

    assert body["retryable"] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/run"),
        ("GET", "/functions"),
        ("GET", "/jobs"),
        ("GET", "/metrics"),
        ("POST", "/upload"),
        ("GET", "/x"),
    ],
)
async def test_without_a_valid_key_nothing_but_health_is_answered(stranger, method, path):
    for headers in ({}, {"x-api-key": "ng_000000000000_" + "x" * 43}, {"authorization": "Basic a2ltOng="}):
        answer = await stranger.request(method, path, headers=headers)

        body = problem(answer, 401)
        assert body["reason"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_key_goes_into_either_header(grid, stranger):
    bearer = grid.http.headers["authorization"]

    assert (await stranger.get("/functions", headers={"x-api-key": bearer.split()[1]})).status_code == 200
    assert (await stranger.get("/functions", headers={"authorization": bearer})).status_code == 200


async def test_keys_of_any_bytes_are_refused_not_failed(grid):
    for key in (b"\xff\xfe", b"x" * 5000, "키".encode()):
        problem(await grid.http.get("/functions", headers={"authorization": b"Bearer " + key}), 401)


async def test_nobody_on_http_can_claim_to_be_somebody_else_or_the_grid(grid):
    function_id = grid.invoker.will_end()

    await grid.http.post(
        "/run",
        json={"function_id": function_id},
        headers={"x-nanogrid-principal": "root", "x-nanogrid-token": "the-grids-own", "x-nanogrid-request-id": "evil"},
    )

    assert grid.invoker.callers[-1].principal == "kim"
    assert grid.invoker.callers[-1].request_id != "evil"


async def test_the_grids_token_is_no_api_key(stranger):
    problem(await stranger.get("/functions", headers={"x-nanogrid-token": "the-grids-own"}), 401)


async def test_where_no_key_is_required_everything_belongs_to_local(tmp_path):
    async with gateway_grid(tmp_path, auth="off") as grid:
        function_id = grid.invoker.will_end()
        await grid.http.post(
            "/run", json={"function_id": function_id}, headers={"x-nanogrid-principal": "root", "authorization": "x"}
        )

        assert grid.invoker.callers[-1].principal == "local"


async def test_a_revoked_key_that_was_never_seen_here_is_refused(grid):
    headers = await grid.key_of("lee")
    key_id = headers["authorization"].split("_")[1]

    await grid.registry.RevokeApiKey(RevokeApiKeyRequest(key_id=key_id))

    problem(await grid.http.get("/functions", headers=headers), 401)


async def test_a_request_id_travels_to_the_services_and_back(grid):
    function_id = grid.invoker.will_end()

    answer = await grid.http.post("/run", json={"function_id": function_id}, headers={"x-request-id": "my-1.2_x"})

    assert answer.headers["x-request-id"] == "my-1.2_x"
    assert grid.invoker.callers[-1].request_id == "my-1.2_x"


@pytest.mark.parametrize("claimed", ["", "a b", "x" * 129, "{}", "é"])
async def test_a_request_id_unfit_for_logs_is_replaced(grid, claimed):
    answer = await grid.http.get("/health", headers={"x-request-id": claimed.encode()})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/", "/nothing", "/functions/", "/run/x", "/%00", "/%ff", "/outputs", "//run"])
async def test_unknown_paths_are_problems(grid, path):
    assert problem(await grid.http.get(path), 404)["reason"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/run"), ("PUT", "/functions"), ("DELETE", "/upload"), ("POST", "/status/x")]
)
async def test_wrong_methods_are_problems_that_name_the_right_ones(grid, method, path):
    answer = await grid.http.request(method, path)

    assert problem(answer, 405)["reason"] == "METHOD_NOT_ALLOWED"
    assert answer.headers["allow"]


async def test_a_head_request_is_refused_without_a_body(grid):
    answer = await grid.http.head("/run")

    assert (answer.status_code, answer.content) == (405, b"")


async def test_the_contract_describes_every_route_with_an_example(stranger):
    document = (await stranger.get("/openapi.json")).json()

    operations = {f"{method} {path}": what for path, ways in document["paths"].items() for method, what in ways.items()}
    assert {"post /upload", "post /run", "get /status/{job_id}", "delete /functions/{function_id}"} <= operations.keys()
    for name, what in operations.items():
        keyed = "Idempotency-Key" in [one["name"] for one in what.get("parameters", ())]
        assert keyed == ("422" in what["responses"]) == (name in ("post /upload", "post /functions", "post /run")), name
        for status, answer in what["responses"].items():
            content = answer.get("content", {}).get("application/json")
            assert content is None or "example" in content, (name, status)


async def test_the_page_of_the_contract_loads_nothing_from_elsewhere(stranger):
    answer = await stranger.get("/docs")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "http://" not in answer.text
    assert "https://" not in answer.text


async def test_requests_are_counted_by_route_and_status_never_by_what_clients_make_up(grid):
    await grid.http.get("/functions/made-up-by-a-client")
    await grid.http.get("/nothing-here")
    await grid.http.request("BREW", "/run")

    text = (await grid.http.get("/metrics")).text

    assert 'nanogrid_gateway_requests_total{method="GET",route="/functions/{function_id}",status="404"} 1.0' in text
    assert 'nanogrid_gateway_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert "made-up" not in text
    assert "BREW" not in text
    assert "nanogrid_gateway_request_seconds_bucket" in text
    assert "process_resident_memory_bytes" in text


async def test_metrics_tell_what_executors_announce_and_answer_without_it_too(grid):
    grid.invoker.evicted = 3
    told = (await grid.http.get("/metrics")).text
    grid.invoker.refusal = UnavailableError("no Redis")
    untold = await grid.http.get("/metrics")

    assert 'nanogrid_executor_memory_pressure{executor="python3.11"} 1.0' in told
    assert 'nanogrid_executor_evicted_sandboxes_total{executor="python3.11"} 3.0' in told
    assert untold.status_code == 200
    assert "nanogrid_gateway_requests_total" in untold.text
    assert 'executor="' not in untold.text


async def test_a_fault_of_ours_is_a_500_without_a_word_of_it(grid, capfd):
    function_id = grid.invoker.will_end(ended_at=Timestamp(seconds=2**62))  # a time no calendar knows

    answer = await grid.http.post("/run", json={"function_id": function_id})
    second = await grid.http.get(f"/status/{next(iter(grid.invoker.jobs))}")

    assert answer.status_code == 202 or problem(answer, 500)
    body = problem(second, 500)
    assert "46116" not in json.dumps(body | {"request_id": ""})
    assert body["reason"] == "INTERNAL"
    assert "Traceback" not in second.text
