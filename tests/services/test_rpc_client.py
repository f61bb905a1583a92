"""What a stub makes of a server's refusal."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nanogrid.errors import ArchiveRejectedError
from nanogrid.rpc.auth import Authenticator
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.server import Bound, serving
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1 import artifacts_pb2_grpc

UPLOADS = 200  # one in twenty lost its reason


class Refusing(artifacts_pb2_grpc.ArtifactsServiceServicer):
    async def UploadCode(self, request_iterator: Any, context: Any) -> pb.UploadCodeResponse:  # noqa: N802
        raise ArchiveRejectedError("it holds a link")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async def nobody(key: str) -> str:
        return key

    authenticator = Authenticator(required=False, internal_token="", verify=nobody)
    descriptor = pb.DESCRIPTOR.services_by_name["ArtifactsService"]
    bound = Bound(descriptor, artifacts_pb2_grpc.add_ArtifactsServiceServicer_to_server, Refusing())
    async with serving("127.0.0.1:0", authenticator, [bound]) as port:
        yield f"127.0.0.1:{port}"


async def test_a_refusal_arrives_however_much_is_on_its_way_up(address: str) -> None:
    async def pieces(pace: int) -> AsyncIterator[pb.UploadCodeRequest]:
        for _ in range(40):
            for _ in range(pace):
                await asyncio.sleep(0)
            yield pb.UploadCodeRequest(chunk=bytes(65_536))

    async with open_stub(artifacts_pb2_grpc.ArtifactsServiceStub, address) as stub:
        for number in range(UPLOADS):
            with pytest.raises(ArchiveRejectedError, match="it holds a link"):
                await stub.UploadCode(pieces(number % 7))
