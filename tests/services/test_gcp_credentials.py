"""Where the credentials for Google Cloud Storage come from, and that they are the ones it is called with."""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nanogrid.errors import UnavailableError
from services.artifacts.blobs import open_blobs
from services.artifacts.gcp_credentials import SECRET, load_credentials
from support.gcs_server import GcsServer, gcs_server
from support.moto_server import MotoServer

FOREIGN = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which neither Google's tools nor AWS's ever ran."""
    for name in (*FOREIGN, *(name for name in os.environ if name.startswith("AWS_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    # In the background, Google's library asks which regions an account may be used in: nobody shall be asked here.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    """Google, which takes a token that it grants itself."""
    with gcs_server("box") as server:
        server.token = "a-token"
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", server.url)
        yield server


@pytest.fixture
def in_aws(aws: MotoServer) -> Any:
    return boto3.client("secretsmanager", endpoint_url=aws.url, region_name=aws.env["AWS_REGION"])


@cache  # making one takes a while
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(server: GcsServer, name: str = "archive") -> str:
    return json.dumps({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": private_key(),
        "client_email": f"{name}@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": f"{server.url}/token",
    })  # fmt: skip


def key_file(folder: Path, server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "key.json"
    path.write_text(account(server, "from-file"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


async def store_something(url: str = "gs://box") -> None:
    async with open_blobs(url) as store:
        await store.put_new({"a": b"x"}, content_type="text/plain")


async def test_an_explicit_file_wins(google, in_aws, tmp_path, monkeypatch) -> None:
    in_aws.create_secret(Name=SECRET, SecretString="not even JSON")
    key_file(tmp_path, google, monkeypatch)

    await store_something()

    assert google.content("box") == {"a": b"x"}
    assert google.issuers == {"from-file@p.iam.gserviceaccount.com"}


async def test_then_the_secret_which_is_held_in_memory_only(google, in_aws, tmp_path, monkeypatch) -> None:
    in_aws.create_secret(Name=SECRET, SecretString=account(google, "from-secret"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = {*tmp_path.rglob("*")}

    await store_something()

    assert google.issuers == {"from-secret@p.iam.gserviceaccount.com"}
    assert {*tmp_path.rglob("*")} == before
    assert "private_key" not in str(dict(os.environ))


async def test_then_what_the_machine_is(google, tmp_path, monkeypatch) -> None:
    (tmp_path / "no-gcloud").mkdir()
    (tmp_path / "no-gcloud/application_default_credentials.json").write_text(account(google, "from-machine"))

    await store_something()

    assert google.issuers == {"from-machine@p.iam.gserviceaccount.com"}


async def test_an_aws_without_the_secret_is_passed_over(google, aws, tmp_path, monkeypatch) -> None:
    (tmp_path / "no-gcloud").mkdir()
    (tmp_path / "no-gcloud/application_default_credentials.json").write_text(account(google))

    await store_something()

    assert google.content("box") == {"a": b"x"}


async def test_a_region_without_aws_credentials_is_no_aws(google, monkeypatch, tmp_path) -> None:
    (tmp_path / "no-gcloud").mkdir()
    (tmp_path / "no-gcloud/application_default_credentials.json").write_text(account(google))
    for name, value in {"AWS_REGION": "ap-northeast-2", "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    await store_something()

    assert google.content("box") == {"a": b"x"}


def test_a_stand_in_is_called_without_credentials(google, tmp_path, monkeypatch) -> None:
    key_file(tmp_path, google, monkeypatch)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.url)

    assert load_credentials().token is None
    assert google.issuers == set()


def test_a_machine_without_any_says_what_to_do() -> None:
    with pytest.raises(UnavailableError, match=f"GOOGLE_APPLICATION_CREDENTIALS.*{SECRET}"):
        load_credentials()


def test_a_file_that_is_not_there_is_not_replaced_by_another_source(in_aws, google, tmp_path, monkeypatch) -> None:
    in_aws.create_secret(Name=SECRET, SecretString=account(google))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))

    with pytest.raises(UnavailableError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        load_credentials()


@pytest.mark.parametrize("secret", ["", "{}", "[]", "s3cr3t", '{"type": "service_account", "private_key": "s3cr3t"}'])
def test_a_secret_that_is_no_key_is_refused_without_being_quoted(in_aws, secret) -> None:
    in_aws.create_secret(Name=SECRET, SecretString=secret or " ")

    with pytest.raises(UnavailableError, match=SECRET) as refused:
        load_credentials()

    assert "s3cr3t" not in str(refused.value) + str(refused.value.__cause__)
    assert refused.value.__suppress_context__


async def test_a_secret_that_was_changed_is_read_again_once_the_old_key_is_refused(google, in_aws) -> None:
    in_aws.create_secret(Name=SECRET, SecretString=account(google, "old"))
    async with open_blobs("gs://box") as store:
        await store.put_new({"a": b"x"}, content_type="text/plain")
        in_aws.put_secret_value(SecretId=SECRET, SecretString=account(google, "new"))
        google.token, google.revoked = "another", {"old@p.iam.gserviceaccount.com"}

        with pytest.raises(UnavailableError, match="refuses"):
            await store.head("a")

        assert (await store.head("a")).size_bytes == 1


async def test_a_key_signs_urls(google, tmp_path, monkeypatch) -> None:
    key_file(tmp_path, google, monkeypatch)
    async with open_blobs("gs://box") as store:
        url = await store.signed_url("outputs/job-1/한글 a.txt", 60)

    assert url is not None
    assert "/box/outputs/job-1/%ED%95%9C%EA%B8%80%20a.txt?" in url
    assert "X-Goog-Expires=60" in url
    assert "X-Goog-Signature=" in url
