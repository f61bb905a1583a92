"""Which runtime serves a job on this executor, when others of the grid offer other ones."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.errors import RuntimeNotSupportedError, UnavailableError
from nanogrid.jobs import JobStore, open_jobs
from nanogrid.v1.resources_pb2 import ExecutorInfo
from services.executor.announce import RuntimeOffer
from support.fake_sandboxes import FakeProvider
from support.redis_server import free_port


@pytest.fixture
async def jobs(redis_url: str) -> AsyncIterator[JobStore]:
    async with open_jobs(redis_url) as store:
        yield store


async def offer_of(jobs: JobStore, folder: Path, *, stand_ins: bool) -> RuntimeOffer:
    offer = RuntimeOffer(FakeProvider(folder), jobs, stand_ins=stand_ins)  # which offers Python 3.11
    await offer.look()
    return offer


async def test_a_job_of_a_version_that_nobody_offers_is_served_by_another(jobs: JobStore, tmp_path: Path):
    offer = await offer_of(jobs, tmp_path, stand_ins=True)

    assert (await offer.resolve("python3.9")).name == "python3.11"
    assert (await offer.resolve("python")).name == "python3.11"


async def test_a_job_of_a_version_that_another_executor_offers_is_left_to_that_one(jobs: JobStore, tmp_path: Path):
    offer = await offer_of(jobs, tmp_path, stand_ins=True)
    await jobs.announce(ExecutorInfo(executor_id="other", runtimes=["python3.9"]))

    with pytest.raises(RuntimeNotSupportedError):
        await offer.resolve("python3.9")


async def test_nothing_stands_in_unless_the_operator_said_so(jobs: JobStore, tmp_path: Path):
    offer = await offer_of(jobs, tmp_path, stand_ins=False)

    with pytest.raises(RuntimeNotSupportedError, match="RUNTIME_STAND_INS"):
        await offer.resolve("python3.9")


async def test_while_it_is_not_known_what_the_others_offer_the_job_waits(tmp_path: Path):
    async with open_jobs(f"redis://127.0.0.1:{free_port()}/0") as nowhere:
        offer = await offer_of(nowhere, tmp_path, stand_ins=True)

        with pytest.raises(UnavailableError):
            await offer.resolve("python3.9")
        assert (await offer.resolve("python3.11")).name == "python3.11"
