"""Which adapter a port gets: NANOGRID_* settings win, then the cloud's names, then the embedded twin."""

import pytest

from nanogrid.settings import GridSettings
from services.artifacts.settings import ArtifactsSettings
from services.registry.settings import RegistrySettings

SQS = "https://sqs.ap-northeast-2.amazonaws.com/123456789012/nanogrid-task-queue"


@pytest.fixture
def urls(monkeypatch, tmp_path):
    """The URLs that every port gets from this environment."""
    for name in ("S3_BUCKET", "S3_CODE_BUCKET", "S3_USER_DATA_BUCKET", "DYNAMODB_TABLE", "SQS_QUEUE_URL"):
        monkeypatch.delenv(name, raising=False)

    def chosen(**env):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        artifacts = ArtifactsSettings(data_dir=tmp_path)
        return {
            "code": artifacts.code_url,
            "data": artifacts.data_url,
            "store": RegistrySettings(data_dir=tmp_path).store_url,
            "queue": GridSettings(redis_url="redis://r/0").task_queue_url,
        }

    return chosen


def test_without_a_choice_everything_is_embedded(urls, tmp_path):
    assert urls() == {
        "code": f"file://{tmp_path}/artifacts/code",
        "data": f"file://{tmp_path}/artifacts/data",
        "store": f"sqlite://{tmp_path}/registry.db",
        "queue": "redis://r/0",
    }


@pytest.mark.parametrize("code_bucket", ["S3_BUCKET", "S3_CODE_BUCKET"])
def test_the_clouds_names_choose_the_clouds_adapters(urls, code_bucket):
    chosen = urls(
        **{code_bucket: "code", "S3_USER_DATA_BUCKET": "data", "DYNAMODB_TABLE": "Table", "SQS_QUEUE_URL": SQS}
    )

    assert chosen == {"code": "s3://code", "data": "s3://data", "store": "dynamodb://Table", "queue": f"sqs:{SQS}"}


def test_our_own_names_win_over_the_clouds(urls):
    cloud = {"S3_BUCKET": "code", "S3_USER_DATA_BUCKET": "data", "DYNAMODB_TABLE": "Table", "SQS_QUEUE_URL": SQS}
    ours = {
        "NANOGRID_ARTIFACTS_CODE_URL": "file:///code",
        "NANOGRID_ARTIFACTS_DATA_URL": "gs://data",
        "NANOGRID_REGISTRY_STORE_URL": "sqlite:///x.db",
        "NANOGRID_QUEUE_URL": "sqs://by-name",
    }

    assert list(urls(**cloud, **ours).values()) == list(ours.values())


@pytest.mark.parametrize(
    ("name", "port", "url"),
    [
        ("S3_BUCKET", "code", "s3://x"),
        ("S3_USER_DATA_BUCKET", "data", "s3://x"),
        ("DYNAMODB_TABLE", "store", "dynamodb://x"),
        ("SQS_QUEUE_URL", "queue", "sqs:x"),
    ],
)
def test_each_is_chosen_by_itself(urls, name, port, url):
    embedded = urls()

    assert urls(**{name: "x"}) == embedded | {port: url}


def test_an_empty_name_chooses_nothing(urls):
    embedded = urls()

    assert urls(S3_BUCKET="", S3_USER_DATA_BUCKET="", DYNAMODB_TABLE="", SQS_QUEUE_URL="") == embedded
