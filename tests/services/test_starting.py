"""What keeps a local grid from starting, found before it starts anything."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nanogrid.errors import BadSettingError, StartError
from nanogrid.local.data_folder import LEAST_FREE_BYTES, prepare_folder
from nanogrid.local.grid import lock_folder, read_grid, read_owner
from services.local import isolation, ports
from services.local.checks import check_settings, known_settings, unknown_settings
from services.local.preflight import require_backends
from support.aws_resources import created
from support.moto_server import MotoServer, moto_server
from support.redis_server import free_port


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name in known_settings() or name.startswith("NANOGRID_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("NANOGRID_EXECUTOR_SLOTS", "x", "valid integer"),
        ("NANOGRID_EXECUTOR_SLOTS", "0", "greater than or equal to 1"),
        ("NANOGRID_EXECUTORS", "many", "valid integer"),
        ("NANOGRID_GATEWAY_LISTEN", "8105", "write for example 127.0.0.1:8105"),
        ("NANOGRID_GATEWAY_LISTEN", "127.0.0.1:99999", "is not host:port"),
        ("NANOGRID_GATEWAY_LISTEN", ":8080", "is not host:port"),
        ("NANOGRID_REGISTRY_LISTEN", "http://127.0.0.1:1", "is not host:port"),
        ("NANOGRID_EXECUTOR_LISTEN", "::1:80", "is not host:port"),
        ("NANOGRID_INVOKER_ADDRESS", "invoker", "is not host:port"),
        ("REDIS_PORT", "abc", "valid integer"),
        ("NANOGRID_REDIS_PORT", "abc", "valid integer"),
        ("NANOGRID_LOG_LEVEL", "loud", "'DEBUG'"),
        ("NANOGRID_AUTH", "maybe", "'auto'"),
        ("NANOGRID_EXECUTOR_POOL", "two", 'write "2"'),
        ("NANOGRID_INVOKER_WAIT_S", "0", "greater than 0"),
        ("NANOGRID_ARTIFACTS_UPLOAD_BYTES", "1 GB", "valid integer"),
        ("NANOGRID_RUNTIME_STAND_INS", "perhaps", "valid boolean"),
    ],
)
def test_a_setting_of_any_service_that_cannot_be_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, cure: str
):
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettingError, match=f"^{name}: ") as refused:
        check_settings()

    assert cure in str(refused.value)


def test_every_bad_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch):
    for name in ("NANOGRID_EXECUTOR_SLOTS", "NANOGRID_GATEWAY_WAIT_S", "NANOGRID_REDIS_PORT"):
        monkeypatch.setenv(name, "x")

    with pytest.raises(BadSettingError, match=r"REDIS_PORT.*; .*EXECUTOR_SLOTS.*; .*GATEWAY_WAIT_S"):
        check_settings()


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "0.0.0.0:80", "[::1]:8080", "localhost:1", "host-1.example.com:65535"]
)
def test_addresses_are_host_and_port(monkeypatch: pytest.MonkeyPatch, listen: str):
    monkeypatch.setenv("NANOGRID_GATEWAY_LISTEN", listen)

    check_settings()


def test_a_variable_that_looks_like_a_setting_and_is_none_is_told_with_the_one_that_is_meant():
    told = unknown_settings({"NANOGRID_EXECUTER_SLOTS": "1", "NANOGRID_XYZ": "", "NANOGRID_URL": "x", "PATH": "/"})

    assert told == [
        "NANOGRID_EXECUTER_SLOTS is no setting, and ignored; did you mean NANOGRID_EXECUTOR_SLOTS?",
        "NANOGRID_XYZ is no setting, and ignored",
    ]


@pytest.mark.parametrize(
    ("listen", "error", "words"),
    [
        ("no.such.host.invalid:8080", BadSettingError, "is not known"),
        ("192.0.2.1:8080", BadSettingError, "this machine has no address 192.0.2.1"),
    ],
)
def test_an_address_that_this_machine_does_not_have_is_refused(listen: str, error: type[StartError], words: str):
    with pytest.raises(error, match=words):
        ports.choose_ports(listen, "NANOGRID_GATEWAY_LISTEN")


def test_docker_that_was_asked_for_is_not_done_without():
    with pytest.raises(StartError, match=r"SANDBOX_URL=docker: cannot be had: it is asleep"):
        isolation.choose("docker:", "it is asleep", public=False)
    with pytest.raises(BadSettingError, match="use docker: or process:"):
        isolation.choose("podman:", None, public=False)
    assert isolation.choose("", "it is asleep", public=False) == "process:"


@pytest.mark.skipif(os.geteuid() != 0, reason="without root Docker is not asked")
def test_docker_that_does_not_answer_is_told_with_its_words(tmp_path: Path):
    ask = "from services.local import isolation; print(isolation.docker_problem())"
    env = os.environ | {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}

    told = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)

    assert told.stdout.startswith("no Docker daemon answers: ")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    with moto_server(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("S3_BUCKET", "no-such-bucket", "the code bucket s3://no-such-bucket"),
        ("S3_USER_DATA_BUCKET", "no-such-bucket", "the user-data bucket s3://no-such-bucket"),
        ("DYNAMODB_TABLE", "NoSuchTable", "the function table dynamodb://NoSuchTable"),
        ("NANOGRID_QUEUE_URL", "sqs://no-such-queue", "the queue sqs://no-such-queue"),
    ],
)
async def test_what_is_missing_on_aws_is_named_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, aws: MotoServer, setting: str, value: str, named: str
):
    for name, one in (aws.env | created(aws.env) | {setting: value}).items():
        monkeypatch.setenv(name, one)

    with pytest.raises(StartError) as refused:
        await require_backends(os.environ)

    assert str(refused.value).startswith(f"{named} (")
    assert "does not exist; check the name, AWS_REGION" in str(refused.value)
    assert str(refused.value).count("does not exist") == 1


async def test_backends_that_are_there_are_passed(monkeypatch: pytest.MonkeyPatch, aws: MotoServer):
    for name, one in (aws.env | created(aws.env)).items():
        monkeypatch.setenv(name, one)

    await require_backends(os.environ)


async def test_a_cloud_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, aws: MotoServer):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", "S3_BUCKET": "bucket"}
        for name, one in (aws.env | env).items():
            monkeypatch.setenv(name, one)

        with pytest.raises(StartError, match=r"the code bucket s3://bucket \(S3_BUCKET\): does not answer"):
            await require_backends(os.environ)


async def test_a_queue_of_its_own_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NANOGRID_QUEUE_URL", f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(StartError, match="the queue redis://"):
        await require_backends(os.environ)


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("NANOGRID_QUEUE_URL", "amqp://queue", "use redis://host:port/db or sqs://queue-name"),
        ("SQS_QUEUE_URL", "http://127.0.0.1/0/jobs.fifo", "standard queue"),
        ("NANOGRID_ARTIFACTS_CODE_URL", "ftp://bucket", "s3://bucket"),
        ("NANOGRID_REGISTRY_STORE_URL", "mysql://table", "sqlite:///absolute/path.db"),
        ("NANOGRID_EXECUTOR_METRICS_URL", "statsd:x", "cloudwatch:"),
        ("AI_ENDPOINT", "ollama", "write http://host:port"),
        ("DYNAMODB_TABLE", "Functions", "AWS_REGION: is not set"),
    ],
)
async def test_an_address_of_a_backend_that_is_none_is_a_bad_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, cure: str
):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettingError) as refused:
        await require_backends(os.environ)

    assert cure in str(refused.value)


@pytest.mark.parametrize("below", ["", "data", "a/b"])
def test_a_data_folder_that_is_a_file_or_below_one_is_named(tmp_path: Path, below: str):
    (tmp_path / "file").touch()

    with pytest.raises(BadSettingError, match=rf"{tmp_path}/file.* --data-dir"):
        prepare_folder(tmp_path / "file" / below)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own kind."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="a disk of its own takes root")
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ("ro", BadSettingError, "is on a disk that is mounted read-only"),
        ("size=8m", StartError, f"NanoGrid needs {LEAST_FREE_BYTES // 1_000_000}"),
        ("nr_inodes=2", StartError, "the disk of .* is full"),
    ],
)
def test_a_disk_that_is_full_or_read_only_is_named(tmp_path: Path, options: str, error: type[StartError], words: str):
    with mounted(tmp_path / "disk", options) as disk, pytest.raises(error, match=words):
        prepare_folder(disk / "data")


def test_the_process_that_locked_a_folder_is_known_without_its_description(tmp_path: Path):
    descriptor = lock_folder(tmp_path)
    assert descriptor is not None
    (tmp_path / "grid.json").write_text("{")

    assert lock_folder(tmp_path) is None
    owner = read_owner(tmp_path)
    assert owner is not None
    assert (owner[0], read_grid(tmp_path)) == (os.getpid(), None)
    os.close(descriptor)
    (tmp_path / "lock").write_text("1 of another boot")
    assert read_owner(tmp_path) is None
