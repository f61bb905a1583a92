"""`nanogrid dlq` against a real invoker, its queue and its job store."""

import asyncio
import json
import os
import uuid
from functools import partial

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid.jobs import open_jobs, record
from nanogrid.jobs.message import Message, encode
from nanogrid.local.grid import write_grid
from nanogrid.queue import open_queue
from nanogrid.v1.resources_pb2 import Job, JobState
from support.command_line import run_command
from support.functions import a_function
from support.http_api import http_api
from support.local_grid import TOKEN, a_grid, served
from support.redis_server import free_port
from support.terminal import Terminal

REASON = "the code is gone [/bold]"


@pytest.fixture(scope="module")
def grid(tmp_path_factory, shared_redis):
    """A gateway that wants keys, an invoker, and artifacts, which it asks. No executor takes anything."""
    with served(
        "artifacts", "invoker", "gateway", folder=tmp_path_factory.mktemp("data"), redis_url=shared_redis.url
    ) as url:
        yield url


@pytest.fixture
def nanogrid(grid, redis_url, monkeypatch, capsys, tmp_path):
    """Runs the command as the operator: (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("NANOGRID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOGRID_URL", grid)
    monkeypatch.setenv("NANOGRID_INTERNAL_TOKEN", TOKEN)

    return partial(run_command, monkeypatch, capsys, "dlq")


@pytest.fixture
def given_up(redis_url):
    """Has messages given up, as an executor does; answers their bodies' jobs."""

    def bury(*jobs):
        async def run():
            async with open_queue(redis_url, "executor") as queue, open_jobs(redis_url) as store:
                for job in jobs:
                    message = encode(Message(job, a_function(function_id=job.function_id, timeout_s=1), b"{}"))
                    await store.create(job, message)
                    await queue.send(message)
                    [delivery] = await queue.receive(1, 10)
                    claim = await store.claim(job, 60)
                    job.state = JobState.JOB_STATE_FAILED
                    await store.finish(job, claim.token, record.encode(job))
                    await queue.bury(delivery, REASON)

        asyncio.run(run())
        return jobs

    return bury


def a_job():
    created_at = Timestamp()
    created_at.FromMilliseconds(1_795_228_426_120)
    return Job(
        job_id=f"job-{uuid.uuid4()}",
        function_id=str(uuid.uuid4()),
        owner="kim",
        state=JobState.JOB_STATE_PENDING,
        runtime="python3.11",
        created_at=created_at,
    )


def waiting(redis_url):
    async def ask():
        async with open_queue(redis_url, "test") as queue:
            return (await queue.depth()).waiting

    return asyncio.run(ask())


def state_of(redis_url, job):
    async def ask():
        async with open_jobs(redis_url) as store:
            return (await store.get(job.job_id)).state

    return asyncio.run(ask())


def letters(nanogrid):
    return json.loads(nanogrid("list", "-o", "json")[1])["letters"]


def test_letters_are_listed_with_what_an_operator_needs(nanogrid, given_up):
    (job,) = given_up(a_job())

    code, out, err = nanogrid("list")
    [said] = letters(nanogrid)

    assert (code, err) == (0, "")
    header, line = out.splitlines()
    assert header.split() == ["LETTER", "ID", "JOB", "ID", "FUNCTION", "ID", "REASON", "RECEIVES", "DIED", "AT"]
    for shown in (said["letter_id"], job.job_id, job.function_id, REASON, said["died_at"]):
        assert shown in line
    assert (said["receives"], said["reason"]) == (1, REASON)
    assert said["died_at"].endswith("Z")
    assert job.job_id in said["excerpt"]


def test_of_more_letters_than_are_shown_the_number_is_told(nanogrid, given_up):
    given_up(a_job(), a_job(), a_job())

    assert len(letters(nanogrid)) == 3
    assert json.loads(nanogrid("list", "--limit", 2, "-o", "json")[1])["total"] == 3
    assert "2 of 3" in nanogrid("list", "--limit", 2)[2]


def test_a_letter_that_is_queued_again_is_a_job_again(nanogrid, given_up, redis_url):
    first, second = given_up(a_job(), a_job())
    chosen = next(one["letter_id"] for one in letters(nanogrid) if one["job_id"] == first.job_id)

    assert nanogrid("redrive", chosen) == (0, "redriven 1\n", "")

    assert [one["job_id"] for one in letters(nanogrid)] == [second.job_id]
    assert waiting(redis_url) == 1
    assert state_of(redis_url, first) == JobState.JOB_STATE_PENDING
    assert state_of(redis_url, second) == JobState.JOB_STATE_FAILED


def test_all_letters_may_be_queued_again(nanogrid, given_up, redis_url):
    given_up(a_job(), a_job())

    code, out, _ = nanogrid("redrive", "--all", "-o", "json")

    assert (code, json.loads(out)) == (0, {"redriven": 2})
    assert letters(nanogrid) == []
    assert waiting(redis_url) == 2


def test_a_letter_that_is_gone_is_no_error(nanogrid, given_up):
    given_up(a_job())
    [letter] = letters(nanogrid)
    nanogrid("redrive", letter["letter_id"])

    code, out, err = nanogrid("redrive", letter["letter_id"], letter["letter_id"])

    assert (code, out) == (0, "redriven 0\n")
    assert "1 were not there" in err


def test_deleting_letters_leaves_their_jobs_failed(nanogrid, given_up, redis_url):
    first, second = given_up(a_job(), a_job())
    chosen = next(one["letter_id"] for one in letters(nanogrid) if one["job_id"] == first.job_id)

    assert nanogrid("purge", chosen, "--yes") == (0, "purged 1\n", "")

    assert [one["job_id"] for one in letters(nanogrid)] == [second.job_id]
    assert waiting(redis_url) == 0
    assert state_of(redis_url, first) == JobState.JOB_STATE_FAILED


@pytest.fixture
def purge(grid, tmp_path):
    """Deletes all letters at a terminal, whose user types an answer."""
    return lambda typed: Terminal(tmp_path).typed(typed, "dlq", "purge", "--all", "--url", grid, "--api-key", TOKEN)


@pytest.mark.parametrize("typed", ["y\n", "n\n", "\n", ""])
def test_deleting_asks_first_and_names_the_grid(nanogrid, given_up, grid, purge, typed):
    given_up(a_job())
    code, left = (0, 0) if typed == "y\n" else (2, 1)

    answered = purge(typed)

    assert f"delete all dead letters of {grid} for good?" in answered.stderr
    assert answered.returncode == code
    assert ("nothing was deleted" in answered.stderr) == bool(left)
    assert answered.stdout == ("" if left else "purged 1\n")
    assert len(letters(nanogrid)) == left


def test_deleting_is_refused_where_there_is_no_terminal_to_ask_on(nanogrid, given_up):
    given_up(a_job())

    code, out, err = nanogrid("purge", "--all", typed="y\n")

    assert (code, out) == (2, "")
    assert "--yes" in err
    assert len(letters(nanogrid)) == 1


@pytest.mark.parametrize("arguments", [[], ["x", "--all"], [""]])
@pytest.mark.parametrize("command", ["redrive", "purge"])
def test_which_letters_has_to_be_said(nanogrid, given_up, command, arguments):
    given_up(a_job())

    assert nanogrid(command, *arguments)[0] == 2

    assert len(letters(nanogrid)) == 1


def test_only_operators_see_dead_letters(nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_INTERNAL_TOKEN", "guessed")

    for arguments in (["list"], ["redrive", "--all"], ["purge", "--all", "--yes"]):
        code, _, err = nanogrid(*arguments)
        assert code in (4, 5), "the registry, which would know an API key, is not there"
    monkeypatch.delenv("NANOGRID_INTERNAL_TOKEN")
    code, _, err = nanogrid("list")
    assert code == 4
    assert "NANOGRID_INTERNAL_TOKEN" in err


@pytest.fixture
def described(grid, monkeypatch, tmp_path):
    """A data folder that says that it is the grid's, and has its token."""
    monkeypatch.delenv("NANOGRID_INTERNAL_TOKEN")
    (tmp_path / "internal-token").write_text(TOKEN)
    write_grid(tmp_path, a_grid(grid))
    return tmp_path


def test_the_internal_token_is_found_in_the_data_folder_of_the_grid_that_is_asked(
    nanogrid, grid, monkeypatch, tmp_path
):
    monkeypatch.delenv("NANOGRID_INTERNAL_TOKEN")
    (tmp_path / "internal-token").write_text(TOKEN)
    write_grid(tmp_path, a_grid(grid))

    assert nanogrid("list", "--data-dir", tmp_path)[0] == 0
    assert nanogrid("list", "--data-dir", tmp_path, "--url", grid.replace("127.0.0.1", "localhost"))[0] == 0


def test_every_verb_asks_the_grid_that_it_was_told_and_shows_it_no_token_of_another(
    nanogrid, grid, monkeypatch, tmp_path
):
    monkeypatch.delenv("NANOGRID_INTERNAL_TOKEN")
    (tmp_path / "internal-token").write_text(TOKEN)
    write_grid(tmp_path, a_grid(grid))

    with http_api() as other:
        for arguments in (["list"], ["redrive", "--all"], ["purge", "--all", "--yes"]):
            nanogrid(*arguments, "--data-dir", described, "--url", other.url)

        assert [one.path.partition("?")[0] for one in other.asked] == [
            "/dead-letters",
            "/dead-letters/redrive",
            "/dead-letters/purge",
        ]
        assert not any("authorization" in one.headers for one in other.asked)


def test_a_grid_that_is_down_is_unavailable(nanogrid):
    assert nanogrid("list", "--url", f"http://127.0.0.1:{free_port()}")[0] == 5
