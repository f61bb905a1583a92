"""Who may ask artifacts for what, over real gRPC."""

from urllib.parse import parse_qs, urlsplit

import grpc.aio
import pytest

from nanogrid.errors import (
    OperatorsOnlyError,
    UnauthenticatedError,
)
from nanogrid.rpc.client import open_stub
from nanogrid.rpc.status import from_rpc
from nanogrid.v1 import artifacts_pb2 as pb
from nanogrid.v1 import registry_pb2, registry_pb2_grpc
from nanogrid.v1.artifacts_pb2_grpc import ArtifactsServiceStub
from services.artifacts.bootstrap import open_artifacts
from services.registry.bootstrap import open_registry
from services.registry.settings import RegistrySettings
from support.artifacts import (
    code_parts,
    output_parts,
    upload_output,
)
from support.artifacts_grid import FUNCTION, KEY, TOKEN, settings_for


class TestCallers:
    """Who may do what."""

    @pytest.fixture
    async def outsider(self, tmp_path):
        """Artifacts as a user with an API key calls it, and the grid beside it."""
        registry = RegistrySettings(data_dir=tmp_path, registry_listen="127.0.0.1:0", auth="on", internal_token=TOKEN)
        async with open_registry(registry) as registry_port:
            where = f"127.0.0.1:{registry_port}"
            async with (
                open_artifacts(settings_for(tmp_path, registry_address=where)) as port,
                open_stub(registry_pb2_grpc.RegistryServiceStub, where, token=TOKEN) as keys,
                open_stub(ArtifactsServiceStub, f"127.0.0.1:{port}", token=TOKEN) as grid,
                grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            ):
                made = await keys.CreateApiKey(registry_pb2.CreateApiKeyRequest(principal="somebody"))
                await upload_output(grid, "job-1", "a.txt", b"x")
                yield ArtifactsServiceStub(channel), grid, (("x-api-key", made.secret),)

    async def refused(self, call) -> Exception:
        answer = call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer
        return from_rpc(caught.value, "artifacts")

    async def test_only_the_grid_itself_may_touch_what_is_stored(self, outsider) -> None:
        stub, _, key = outsider

        for call in (
            stub.UploadCode(code_parts(FUNCTION, "main.py", b"x"), metadata=key),
            stub.DownloadCode(pb.DownloadCodeRequest(s3_key=KEY), metadata=key),
            stub.InspectCode(pb.InspectCodeRequest(s3_key=KEY), metadata=key),
            stub.DeleteCode(pb.DeleteCodeRequest(function_id=FUNCTION), metadata=key),
            stub.UploadOutput(output_parts("job-1", "a.txt", b"y"), metadata=key),
            stub.SignOutputs(pb.SignOutputsRequest(keys=["outputs/job-1/a.txt"]), metadata=key),
            stub.DownloadOutput(pb.DownloadOutputRequest(key="outputs/job-1/a.txt"), metadata=key),
        ):
            assert isinstance(await self.refused(call), OperatorsOnlyError)

    async def test_without_a_key_nobody_comes_in(self, outsider) -> None:
        stub, _, _ = outsider

        for call in (
            stub.UploadCode(code_parts(FUNCTION, "main.py", b"x")),
            stub.DownloadOutput(pb.DownloadOutputRequest(key="outputs/job-1/a.txt")),
        ):
            assert isinstance(await self.refused(call), UnauthenticatedError)

    async def test_a_signature_is_enough_for_its_output(self, outsider) -> None:
        stub, grid, key = outsider
        [url] = (await grid.SignOutputs(pb.SignOutputsRequest(keys=["outputs/job-1/a.txt"]))).urls
        query = parse_qs(urlsplit(url).query)
        request = pb.DownloadOutputRequest(
            key="outputs/job-1/a.txt", expires_at_s=int(query["expires"][0]), signature=query["signature"][0]
        )

        parts = [part async for part in stub.DownloadOutput(request, metadata=key)]

        assert b"".join(part.chunk for part in parts) == b"x"


async def test_what_a_crash_left_in_the_spool_is_swept_at_start(tmp_path) -> None:
    left = tmp_path / "artifacts/spool/0123456789abcdef/half"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half an upload")

    async with open_artifacts(settings_for(tmp_path)):
        assert not left.parent.exists()
