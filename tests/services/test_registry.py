"""The registry over real gRPC."""

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nanogrid.errors import (
    ConflictError,
    InvalidFieldError,
    NotFoundError,
    OperatorsOnlyError,
    UnauthenticatedError,
)
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.status import from_rpc
from nanogrid.v1 import registry_pb2 as pb
from nanogrid.v1 import registry_pb2_grpc
from services.registry.bootstrap import open_registry
from services.registry.settings import RegistrySettings
from support.callers import calling
from support.functions import a_function

TOKEN = "the-grids-own"


@pytest.fixture
async def address(tmp_path):
    settings = RegistrySettings(
        data_dir=tmp_path, registry_listen="127.0.0.1:0", registry_store_url="", auth="on", internal_token=TOKEN
    )
    async with open_registry(settings) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def grid(address):
    """The registry as the grid's own services call it."""
    async with open_stub(registry_pb2_grpc.RegistryServiceStub, address, token=TOKEN) as stub:
        yield stub


@pytest.fixture
async def channel(address):
    async with grpc.aio.insecure_channel(address) as opened:
        yield opened


async def create(grid, principal, **fields):
    with calling(principal):
        return (await grid.CreateFunction(pb.CreateFunctionRequest(function=a_function(**fields)))).function


async def with_key(channel, secret, method, request, header="x-api-key"):
    """Call as an outsider who has only an API key."""
    call = getattr(registry_pb2_grpc.RegistryServiceStub(channel), method)
    try:
        return await call(request, metadata=((header, secret),))
    except grpc.aio.AioRpcError as failure:
        raise from_rpc(failure, "registry") from None


async def test_a_created_function_is_read_back_by_id_and_by_name(grid):
    created = await create(grid, "kim", function_name="안녕", env={"A": "값"})

    with calling("kim"):
        by_id = await grid.GetFunction(pb.GetFunctionRequest(function_id=created.function_id))
        by_name = await grid.GetFunction(pb.GetFunctionRequest(function_name="안녕"))

    assert by_id.function == by_name.function == created
    assert (created.owner, created.timeout_s, created.memory_mb) == ("kim", 300, 512)


@pytest.mark.parametrize(
    ("runtime", "handler"), [("cpp", "main.cpp"), ("go", "main.go"), ("python3.11", "main.handler")]
)
async def test_main_handler_is_the_main_file_of_a_compiled_program(grid, runtime, handler):
    created = await create(grid, "kim", runtime=runtime, handler="main.handler")

    assert created.handler == handler


async def test_another_owners_function_is_not_found(grid):
    created = await create(grid, "kim")

    with calling("eve"):
        for call, request in (
            (grid.GetFunction, pb.GetFunctionRequest(function_id=created.function_id)),
            (grid.GetFunction, pb.GetFunctionRequest(function_name=created.function_name)),
            (grid.DeleteFunction, pb.DeleteFunctionRequest(function_id=created.function_id)),
        ):
            with pytest.raises(NotFoundError):
                await call(request)


async def test_a_request_that_names_nothing_is_not_found(grid):
    with pytest.raises(NotFoundError):
        await grid.GetFunction(pb.GetFunctionRequest())


async def test_an_id_is_created_once(grid):
    created = await create(grid, "kim")

    with pytest.raises(ConflictError):
        await create(grid, "kim", function_id=created.function_id)


async def test_a_bad_field_is_named_over_the_wire(grid):
    with pytest.raises(InvalidFieldError) as caught:
        await create(grid, "kim", memory_mb=1)

    assert caught.value.metadata == {"field": "memory_mb"}


async def test_lists_are_paged_to_the_end(grid):
    ids = {(await create(grid, "kim")).function_id for _ in range(5)}
    await create(grid, "lee")

    found, token = [], ""
    with calling("kim"):
        while True:
            page = await grid.ListFunctions(pb.ListFunctionsRequest(page_size=2, page_token=token))
            found += [one.function_id for one in page.functions]
            token = page.next_page_token
            if not token:
                break

    assert len(found) == 5
    assert set(found) == ids


async def test_a_deleted_function_is_gone(grid):
    created = await create(grid, "kim")

    with calling("kim"):
        deleted = await grid.DeleteFunction(pb.DeleteFunctionRequest(function_id=created.function_id))
        with pytest.raises(NotFoundError):
            await grid.DeleteFunction(pb.DeleteFunctionRequest(function_id=created.function_id))

    assert deleted.function == created


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_an_api_key_made_by_the_operator_opens_the_door_to_its_owners_things(grid, channel, header):
    made = await grid.CreateApiKey(pb.CreateApiKeyRequest(principal="kim"))
    mine, _ = await create(grid, "kim"), await create(grid, "lee")
    secret = made.secret if header == "x-api-key" else f"Bearer {made.secret}"

    page = await with_key(channel, secret, "ListFunctions", pb.ListFunctionsRequest(), header)

    assert list(page.functions) == [mine]


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("CreateApiKey", pb.CreateApiKeyRequest(principal="eve")),
        ("ListApiKeys", pb.ListApiKeysRequest()),
        ("RevokeApiKey", pb.RevokeApiKeyRequest(key_id="0" * 12)),
        ("VerifyApiKey", pb.VerifyApiKeyRequest(secret="x")),
    ],
)
async def test_keys_are_the_operators_business_only(grid, channel, method, request_):
    made = await grid.CreateApiKey(pb.CreateApiKeyRequest(principal="kim"))

    with pytest.raises(OperatorsOnlyError):
        await with_key(channel, made.secret, method, request_)


async def test_without_a_key_nothing_is_answered(channel):
    with pytest.raises(UnauthenticatedError):
        await with_key(channel, "ng_000000000000_" + "x" * 43, "ListFunctions", pb.ListFunctionsRequest())
    with pytest.raises(UnauthenticatedError):
        await with_key(channel, "kim", "ListFunctions", pb.ListFunctionsRequest(), "x-nanogrid-principal")


async def test_a_revoked_key_verifies_no_more_and_is_listed_as_revoked(grid):
    made = await grid.CreateApiKey(pb.CreateApiKeyRequest(principal="kim"))
    verified = await grid.VerifyApiKey(pb.VerifyApiKeyRequest(secret=made.secret))

    await grid.RevokeApiKey(pb.RevokeApiKeyRequest(key_id=made.key.key_id))

    assert verified.principal == "kim"
    with pytest.raises(UnauthenticatedError):
        await grid.VerifyApiKey(pb.VerifyApiKeyRequest(secret=made.secret))
    listed = (await grid.ListApiKeys(pb.ListApiKeysRequest())).keys
    assert [(one.key_id, one.HasField("revoked_at")) for one in listed] == [(made.key.key_id, True)]


async def test_bytes_that_are_no_message_are_an_invalid_argument(channel):
    call = channel.unary_unary("/nanogrid.v1.RegistryService/GetFunction")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff", metadata=(("x-nanogrid-token", TOKEN),))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_health_answers_without_a_key(channel):
    health = health_pb2_grpc.HealthStub(channel)

    for service in ("", "nanogrid.v1.RegistryService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="*")])

    answers = [answer async for answer in stub.ServerReflectionInfo(requests)]

    assert {one.name for one in answers[0].list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "nanogrid.v1.RegistryService",
    }
