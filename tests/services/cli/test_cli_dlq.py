"""`nanogrid dlq` against a real invoker, its queue and its job store."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid.jobs import open_jobs, record
from nanogrid.jobs.message import Message, encode
from nanogrid.queue import open_queue
from nanogrid.v1.resources_pb2 import Job, JobState
from support.command_line import run_command
from support.functions import a_function
from support.redis_server import free_port

TOKEN = "the-grids-own"
REASON = "the code is gone [/bold]"


@contextmanager
def serving(service, env):
    """A process of the grid, for as long as the block lasts."""
    command = [sys.executable, "-P", "-m", f"services.{service}"]
    with subprocess.Popen(command, env=os.environ | env, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if '"serving"' in line:
                break
        yield
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def invoker(tmp_path_factory, shared_redis):
    """An invoker that wants the internal token, and artifacts, which it asks; no executor takes anything."""
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("artifacts", "invoker")}
    env = {f"NANOGRID_{name.upper()}_LISTEN": address for name, address in addresses.items()}
    env |= {f"NANOGRID_{name.upper()}_ADDRESS": address for name, address in addresses.items()}
    env |= {"NANOGRID_AUTH": "on", "NANOGRID_INTERNAL_TOKEN": TOKEN, "NANOGRID_REDIS_URL": shared_redis.url}
    env |= {"NANOGRID_DATA_DIR": str(tmp_path_factory.mktemp("data"))}
    with ExitStack() as stack:
        for name in addresses:
            stack.enter_context(serving(name, env))
        yield addresses["invoker"]


@pytest.fixture
def nanogrid(invoker, redis_url, monkeypatch, capsys, tmp_path):
    """Runs the command as the operator: (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("NANOGRID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOGRID_INVOKER_ADDRESS", invoker)
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


@pytest.mark.parametrize(("typed", "code", "left"), [("y\n", 0, 0), ("n\n", 2, 1), ("\n", 2, 1), ("", 2, 1)])
def test_deleting_asks_first(nanogrid, given_up, typed, code, left):
    given_up(a_job())

    answered, out, err = nanogrid("purge", "--all", typed=typed)

    assert "delete all dead letters for good?" in err
    assert answered == code
    assert ("nothing was deleted" in err) == bool(left)
    assert out == ("" if left else "purged 1\n")
    assert len(letters(nanogrid)) == left


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
        assert code == 4
        assert "NANOGRID_INTERNAL_TOKEN" in err


def test_the_internal_token_is_found_in_the_data_folder(nanogrid, monkeypatch, tmp_path):
    monkeypatch.delenv("NANOGRID_INTERNAL_TOKEN")
    (tmp_path / "internal-token").write_text(TOKEN)

    assert nanogrid("list", "--data-dir", tmp_path)[0] == 0


def test_an_invoker_that_is_down_is_unavailable(nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_INVOKER_ADDRESS", f"127.0.0.1:{free_port()}")

    assert nanogrid("list")[0] == 5
