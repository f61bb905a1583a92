"""A gateway that does not hear what the registry answered, and a client that asks again."""

import pytest

from nanogrid.errors import UnavailableError
from services.registry.servicer import RegistryServicer
from support.gateway_grid import gateway_grid
from support.idempotency import functions_of, register
from support.rest import CODE, upload

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Line:
    """The way to the registry: the next answer of some methods gets lost, others are not reached at all."""

    def __init__(self):
        self.loses = set()
        self.down = set()

    async def call(self, name, method, *arguments):
        if name in self.down:
            raise UnavailableError("nobody there")
        answer = await method(*arguments)
        if name in self.loses:
            self.loses.remove(name)
            raise UnavailableError("the answer got lost")
        return answer


@pytest.fixture
def line(monkeypatch):
    """Goes wrong as a test says, for every registry that is started afterwards."""
    line = Line()
    for name in ("CreateFunction", "DeleteFunction", "ReserveUpload", "ReleaseUpload"):
        method = getattr(RegistryServicer, name)

        async def run(*arguments, name=name, method=method):
            return await line.call(name, method, *arguments)

        monkeypatch.setattr(RegistryServicer, name, run)
    return line


@pytest.mark.parametrize("down", [{"DeleteFunction"}, {"DeleteFunction", "ReleaseUpload"}])
async def test_who_did_not_hear_that_the_function_was_recorded_gets_it_by_asking_again(tmp_path, line, key, down):
    async with gateway_grid(tmp_path) as grid:
        line.loses, line.down = {"CreateFunction"}, down
        assert (await upload(grid, headers=key)).status_code == 503

        answer = await upload(grid, headers=key)

        assert answer.status_code == 201, answer.text
        assert grid.artifacts.begun == 1
        assert grid.artifacts.code == {answer.json()["s3_key"]: CODE}
        assert await functions_of(grid) == [answer.json()]


async def test_who_did_not_hear_that_a_registration_was_recorded_gets_it_by_asking_again(tmp_path, line, key):
    async with gateway_grid(tmp_path) as grid:
        grid.artifacts.code["shared/code.zip"] = CODE
        line.loses = {"CreateFunction"}
        assert (await register(grid, key)).status_code == 503

        answer = await register(grid, key)

        assert answer.status_code == 201, answer.text
        assert await functions_of(grid) == [answer.json()]


async def test_who_did_not_hear_that_the_key_was_reserved_may_ask_again(tmp_path, line, key):
    async with gateway_grid(tmp_path) as grid:
        line.loses = {"ReserveUpload"}
        assert (await upload(grid, headers=key)).status_code == 503

        answer = await upload(grid, headers=key)

        assert answer.status_code == 201, answer.text
