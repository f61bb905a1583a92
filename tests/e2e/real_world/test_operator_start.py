"""A grid that cannot start: one sentence with the cause and the cure, an exit code, and nothing left running."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from support.aws_resources import created
from support.moto_server import moto_server
from support.redis_server import free_port, redis_server
from support.terminal import Terminal, terminal

BAD_SETTING, UNAVAILABLE = 2, 5
PASSWORD = "hidden-in-the-url"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path) as opened:
        yield opened


def refused(shell: Terminal, code: int, *words: str, **env: str) -> None:
    """`up` leaves with the code and these words in one sentence, and leaves nothing behind."""
    done = shell.nanogrid("up", **env)

    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert shell.processes() == []
    assert not (shell.data / "grid.json").exists()


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("NANOGRID_EXECUTOR_SLOTS", "x", "valid integer"),
        ("NANOGRID_GATEWAY_LISTEN", "8105", "write for example 127.0.0.1:8105"),
        ("NANOGRID_QUEUE_URL", "amqp://queue", "use redis://host:port/db or sqs://queue-name"),
    ],
)
def test_a_setting_that_can_never_work_is_named_with_one_that_would(shell: Terminal, name: str, value: str, cure: str):
    refused(shell, BAD_SETTING, name, cure, **{name: value})


def test_a_redis_that_is_not_there_is_named(shell: Terminal):
    url = f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"

    refused(shell, UNAVAILABLE, "Redis cannot be reached", "NANOGRID_REDIS_URL", NANOGRID_REDIS_URL=url)


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        (["CONFIG SET maxmemory-policy allkeys-lru"], ["allkeys-lru", "NANOGRID_REDIS_MAY_EVICT"]),
        (["ACL SETUSER default resetchannels"], ["channel"]),
        (["ACL SETUSER default resetpass >secret"], ["password"]),
    ],
    ids=["evicts", "no channels", "a password"],
)
def test_a_redis_that_would_lose_jobs_or_news_of_them_is_named(
    shell: Terminal, tmp_path: Path, commands: list[str], words: list[str]
):
    with redis_server(tmp_path) as server:
        with Redis.from_url(server.url) as admin:
            for command in commands:
                admin.execute_command(*command.split())

        refused(shell, UNAVAILABLE, *words, NANOGRID_REDIS_URL=server.url)


def test_what_is_missing_on_aws_is_named_with_the_script_that_creates_it(shell: Terminal, tmp_path: Path):
    with moto_server(tmp_path) as aws:
        env = aws.env | created(aws.env) | {"AWS_REGION": "eu-west-3"}

        refused(shell, UNAVAILABLE, "the queue", "does not exist", "AWS_REGION", "deploy/aws/create.py", **env)


def test_a_port_that_another_program_has_is_named_with_a_way_to_a_free_one(shell: Terminal):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{port(taken)}"

        refused(shell, UNAVAILABLE, "is taken", "NANOGRID_GATEWAY_LISTEN=127.0.0.1:0", NANOGRID_GATEWAY_LISTEN=listen)


def test_a_data_folder_that_is_a_file_is_named(shell: Terminal, tmp_path: Path):
    (tmp_path / "file").touch()

    refused(
        shell, BAD_SETTING, str(tmp_path / "file"), "--data-dir", NANOGRID_DATA_DIR=str(tmp_path / "file" / "below")
    )


def test_a_service_that_dies_at_its_start_takes_the_grid_with_it_and_is_named(shell: Terminal):
    shell.data.mkdir()
    (shell.data / "registry.db").write_text("this is no database, whatever its name says\n" * 100)

    refused(shell, UNAVAILABLE, "registry does not start", "registry.log")


def test_a_running_grid_tells_which_settings_it_does_not_have_and_keeps_its_secrets(shell: Terminal):
    first = {"NANOGRID_EXECUTOR_SLOTS": "3", "NANOGRID_INTERNAL_TOKEN": "first-secret", "NANOGRID_EXECUTER_CPUS": "1"}
    shell.up(**first).close()

    same = shell.nanogrid("up", **first)
    other = shell.nanogrid("up", NANOGRID_EXECUTOR_SLOTS="5", NANOGRID_GATEWAY_WAIT_S="290.0", AWS_REGION="eu-west-3")

    assert "did you mean NANOGRID_EXECUTOR_CPUS?" in same.stderr
    assert (same.returncode, "settings" in same.stderr) == (0, False)
    assert other.returncode == 0
    [differing] = [line for line in other.stderr.splitlines() if "other settings" in line]
    assert "NANOGRID_EXECUTOR_SLOTS ('3' there, '5' now)" in differing
    assert "NANOGRID_INTERNAL_TOKEN" in differing
    assert "AWS_REGION" in differing
    assert "NANOGRID_GATEWAY_WAIT_S" not in differing, "it is the default"
    assert "first-secret" not in other.stderr + (shell.data / "grid.json").read_text()


def test_a_grid_whose_description_was_spoilt_is_neither_doubled_nor_lost(shell: Terminal):
    shell.up().close()
    (shell.data / "grid.json").write_text("{")

    again = shell.nanogrid("up")
    down = shell.nanogrid("down")

    assert again.returncode == UNAVAILABLE
    assert re.search(r"already runs on .*, as process \d+; stop it with `nanogrid down`", again.stderr), again.stderr
    assert (down.returncode, shell.processes()) == (0, [])
    assert "stopped" in down.stderr


def port(server: socket.socket) -> int:
    return int(server.getsockname()[1])
