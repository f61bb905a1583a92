"""What is deleted when its time is over, and what is not."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanogrid.errors import UnavailableError
from services.artifacts.blobs import BlobStore, open_blobs
from services.artifacts.retention import Retention
from services.artifacts.settings import ArtifactsSettings

DAY_S = 24 * 3600.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[BlobStore]:
    async with open_blobs((tmp_path / "data").as_uri()) as store:
        yield store


@pytest.fixture
def put(store: BlobStore, tmp_path: Path):
    async def put_aged(key: str, days: float) -> None:
        await store.put_new({key: b"{}"}, content_type="application/json")
        os.utime(tmp_path / "data" / key, (time.time() - days * DAY_S,) * 2)

    return put_aged


async def left(store: BlobStore) -> set[str]:
    return {one.key for prefix in ("results/", "payloads/", "outputs/") async for one in store.list(prefix)}


async def test_results_over_their_time_go_and_younger_ones_stay(store, put) -> None:
    await put("results/old.json", 7.1)
    await put("results/young.json", 6.9)
    await put("outputs/job-1/old.txt", 100)

    assert await Retention(store, 7, None).sweep() == 1

    assert await left(store) == {"results/young.json", "outputs/job-1/old.txt"}


async def test_payloads_stay_for_as_long_as_a_queue_may_hold_their_jobs(store, put) -> None:
    await put("payloads/queued.json", 15)
    await put("payloads/forgotten.json", 31)

    await Retention(store, 7, None).sweep()

    assert await left(store) == {"payloads/queued.json"}


async def test_what_the_archive_has_not_got_stays(store, put) -> None:
    await put("results/archived.json", 10)
    await put("results/waiting.json", 8)

    async def archived_until_s() -> float:
        return time.time() - 9 * DAY_S

    await Retention(store, 7, archived_until_s).sweep()

    assert await left(store) == {"results/waiting.json"}


async def test_nothing_goes_while_it_is_not_known_what_is_archived(store, put) -> None:
    await put("results/old.json", 10)

    async def archived_until_s() -> float:
        raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        await Retention(store, 7, archived_until_s).sweep()

    assert await left(store) == {"results/old.json"}


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ({}, 7),
        ({"artifacts_results_days": 0}, 0),
        ({"artifacts_data_url": "file:///somewhere", "artifacts_results_days": 3}, 3),
        ({"artifacts_data_url": "s3://bucket"}, 0),
        ({"artifacts_data_url": "gs://bucket"}, 0),
    ],
)
def test_only_folders_are_swept(said, days) -> None:
    assert ArtifactsSettings(**said).retained_days == days


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, ""),
        ({"GCP_BUCKET_NAME": "a-bucket"}, "gs://a-bucket"),
        ({"GCP_BUCKET_NAME": "a-bucket", "NANOGRID_ARTIFACTS_ARCHIVE_URL": "file:///there"}, "file:///there"),
    ],
)
def test_where_the_archive_is(environment, url, monkeypatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert ArtifactsSettings().archive_url == url
