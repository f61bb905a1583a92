"""Keys and owners over the whole grid, and gRPC as grpcurl speaks it: through reflection only."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support.grid import Grid, running_grid

HANDLER = "def handler(event, context): return event"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A grid that asks for keys."""
    folder = tmp_path_factory.mktemp("locked")
    with running_grid(folder, NANOGRID_AUTH="on", NANOGRID_EXECUTOR_SANDBOX_URL="process:") as running:
        yield running


def nanogrid(grid: Grid, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("nanogrid")), "--url", grid.url, *arguments]
    env = {"NANOGRID_DATA_DIR": str(grid.folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def a_key(grid: Grid, principal: str) -> dict[str, str]:
    return json.loads(nanogrid(grid, "-o", "json", "keys", "create", principal))


def bearer(key: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['api_key']}"}


def test_without_a_key_nothing_but_health_answers(locked: Grid) -> None:
    assert locked.http.get("/health").json() == {"status": "healthy"}
    assert locked.http.get("/ready").status_code == 200
    for path in ("/functions", "/jobs", "/status/job-1"):
        assert locked.http.get(path).status_code == 401, path
    assert locked.http.post("/run", json={"function_id": "x"}).status_code == 401
    assert locked.http.get("/functions", headers={"X-API-Key": "ng_000000000000_wrong"}).status_code == 401


def test_callers_cannot_say_who_they_are_by_themselves(locked: Grid) -> None:
    headers = {"x-nanogrid-principal": "root", "x-nanogrid-token": "guess"}

    assert locked.http.get("/functions", headers=headers).status_code == 401


def test_what_belongs_to_another_owner_does_not_exist(locked: Grid) -> None:
    alice, bob = bearer(a_key(locked, "alice")), bearer(a_key(locked, "bob"))
    files, form = {"file": ("main.py", HANDLER)}, {"function_name": "f", "runtime": "python"}
    function_id = locked.http.post("/upload", files=files, data=form, headers=alice).json()["function_id"]
    body = {"function_id": function_id, "payload": {"a": 1}}
    job = locked.http.post("/run", json=body, headers=alice).json()
    assert job["result"] == {"a": 1}

    assert locked.http.post("/run", json=body, headers=bob).status_code == 404
    assert locked.http.get(f"/functions/{function_id}", headers=bob).status_code == 404
    assert locked.http.delete(f"/functions/{function_id}", headers=bob).status_code == 404
    assert locked.http.get(f"/status/{job['job_id']}", headers=bob).status_code == 404
    assert locked.http.get("/jobs", headers=bob).json()["jobs"] == []
    assert locked.http.get(f"/status/{job['job_id']}", headers=alice).json()["result"] == {"a": 1}


def test_a_revoked_key_stops_working(locked: Grid) -> None:
    key = a_key(locked, "carol")

    nanogrid(locked, "keys", "revoke", key["key_id"])

    assert locked.http.get("/functions", headers=bearer(key)).status_code == 401


def test_grpc_takes_the_same_keys(locked: Grid) -> None:
    key = a_key(locked, "dave")
    with grpc.insecure_channel(locked.address("registry")) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            call_by_reflection(channel, "nanogrid.v1.RegistryService", "ListFunctions", {})
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]

        metadata = [("authorization", f"Bearer {key['api_key']}")]
        assert call_by_reflection(channel, "nanogrid.v1.RegistryService", "ListFunctions", {}, metadata) == {}


@pytest.mark.parametrize(
    ("service", "name", "method"),
    [
        ("registry", "nanogrid.v1.RegistryService", "ListFunctions"),
        ("invoker", "nanogrid.v1.InvokerService", "ListExecutors"),
        ("artifacts", "nanogrid.v1.ArtifactsService", "SignOutputs"),
    ],
)
def test_every_server_is_called_through_reflection_alone(grid: Grid, service: str, name: str, method: str) -> None:
    with grpc.insecure_channel(grid.address(service)) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)

        assert {name, "grpc.health.v1.Health"} <= set(database.get_services())
        answer = call_by_reflection(channel, name, method, {})

    assert isinstance(answer, dict)


def test_the_executor_is_found_through_the_invoker_and_called_through_reflection(grid: Grid) -> None:
    with grpc.insecure_channel(grid.address("invoker")) as channel:
        executors = call_by_reflection(channel, "nanogrid.v1.InvokerService", "ListExecutors", {})["executors"]

    with grpc.insecure_channel(executors[0]["address"]) as channel:
        answer = call_by_reflection(channel, "nanogrid.v1.ExecutorService", "GetExecutor", {})

    assert answer["executor"]["executorId"] == executors[0]["executorId"]
    assert "python3.11" in answer["executor"]["runtimes"]


def call_by_reflection(channel, service: str, method: str, request: dict, metadata=()) -> dict:
    """Call a unary method knowing nothing but its name."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    found = pool.FindServiceByName(service).FindMethodByName(method)
    ask, answer = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
    call = channel.unary_unary(
        f"/{service}/{method}", request_serializer=ask.SerializeToString, response_deserializer=answer.FromString
    )
    return MessageToDict(call(ask(**request), timeout=10, metadata=metadata))


def test_the_api_document_has_every_route_with_an_example(grid: Grid) -> None:
    paths = grid.http.get("/openapi.json").json()["paths"]

    assert {"/health", "/upload", "/run", "/status/{job_id}", "/functions", "/functions/{function_id}"} <= set(paths)
    assert "example" in str(paths["/run"]["post"]["requestBody"])
    assert grid.http.get("/docs").status_code == 200
