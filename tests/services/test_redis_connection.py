"""The shared connection to Redis: real servers that die, fall silent and run full, and a stand-in that cheats."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from nanogrid.errors import UnavailableError
from nanogrid.redis.client import Script, SharedConnection, connect, translated
from nanogrid.redis.connection import PipelinedConnection
from support.redis_server import RedisServer, free_port, redis_server
from support.waiting import until


@pytest.fixture
async def together(redis_url: str) -> AsyncIterator[SharedConnection]:
    async with connect(redis_url) as client:
        yield SharedConnection(client)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def cheat(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Takes connections as Redis does, then gives `answer` to everything (None: hangs up); tells what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if b"SETINFO" in data:
                writer.write(b"+OK\r\n" * data.count(b"SETINFO"))
                continue
            asked.append(data)
            if answer is None:
                break
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", asked


async def test_everyone_gets_the_answer_to_their_own_question(together: SharedConnection) -> None:
    await asyncio.gather(*(together.run("SET", f"key{n}", n) for n in range(500)))

    answers = await asyncio.gather(*(together.run("GET", f"key{n}") for n in range(500)))

    assert answers == [str(n).encode() for n in range(500)]


async def test_commands_of_one_turn_travel_together(together: SharedConnection, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as observer:
        await together.run("PING")
        before = (await observer.info("stats"))["total_reads_processed"]

        await asyncio.gather(*(together.run("PING") for _ in range(100)))

        assert (await observer.info("stats"))["total_reads_processed"] - before < 10


async def test_an_error_reaches_only_whoever_made_it(together: SharedConnection) -> None:
    await together.run("SET", "text", "a")

    wrong, right = await asyncio.gather(
        together.run("INCR", "text"), together.run("GET", "text"), return_exceptions=True
    )

    assert isinstance(wrong, ResponseError)
    assert right == b"a"


async def test_a_cancelled_caller_disturbs_nobody(together: SharedConnection) -> None:
    await together.run("PING")
    impatient = asyncio.create_task(together.run("BLPOP", "nothing", "0.2"))
    patient = asyncio.create_task(together.run("ECHO", "mine"))
    await asyncio.sleep(0)
    impatient.cancel()

    assert await patient == b"mine"
    assert await together.run("ECHO", "next") == b"next"
    assert impatient.cancelled()


async def test_a_caller_cancelled_while_connecting_disturbs_nobody(together: SharedConnection) -> None:
    first = asyncio.create_task(together.run("PING"))
    second = asyncio.create_task(together.run("ECHO", "mine"))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == b"mine"


async def test_hanging_up_ends_what_waits_at_the_server_too(together: SharedConnection) -> None:
    waiting = asyncio.create_task(together.run("BLPOP", "list", "0"))
    await until(lambda: together._link is not None)
    await asyncio.sleep(0)
    together.hang_up()
    with pytest.raises(RedisConnectionError):
        await waiting

    await together.run("RPUSH", "list", "kept")

    assert await together.run("LPOP", "list") == b"kept"


async def test_the_largest_results_pass_beside_small_ones(together: SharedConnection) -> None:
    large = os.urandom(1024) * 32 * 1024

    _, small = await asyncio.gather(together.run("SET", "large", large), together.run("ECHO", "small"))
    found, after = await asyncio.gather(together.run("GET", "large"), together.run("ECHO", "after"))

    assert (small, after) == (b"small", b"after")
    assert found == large


async def test_what_is_asked_while_redis_dies_fails_and_later_questions_find_it_again(mortal: RedisServer) -> None:
    async with connect(mortal.url) as client:
        together = SharedConnection(client)
        asked = asyncio.create_task(together.run("BLPOP", "nothing", "60"))
        await until(lambda: together._link is not None)
        mortal.kill()

        with pytest.raises(RedisConnectionError):
            await asked
        with pytest.raises(RedisConnectionError):
            await together.run("PING")
        mortal.start()

        assert await together.run("ECHO", "again") == b"again"


async def test_a_connection_that_died_at_rest_costs_no_question(mortal: RedisServer) -> None:
    async with connect(mortal.url) as client:
        together = SharedConnection(client)
        await together.run("PING")
        mortal.kill()
        mortal.start()
        await until(lambda: together._link is None or not together._link.alive)

        assert await together.run("ECHO", "again") == b"again"


async def test_what_was_sent_is_never_sent_again() -> None:
    async with cheat(None) as (url, asked), connect(url) as client:
        with pytest.raises(RedisConnectionError):
            await SharedConnection(client).run("INCR", "counter")

        assert len(asked) == 1


async def test_a_silent_server_is_given_up(mortal: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PipelinedConnection, "silence_s", 0.2)
    async with connect(mortal.url) as client:
        together = SharedConnection(client)
        await together.run("PING")
        assert mortal._process is not None
        mortal._process.send_signal(signal.SIGSTOP)

        both = await asyncio.gather(together.run("PING"), together.run("PING"), return_exceptions=True)

        assert [type(one) for one in both] == [RedisTimeoutError, RedisTimeoutError]
        mortal._process.send_signal(signal.SIGCONT)
        assert await together.run("ECHO", "again") == b"again"


async def test_a_slow_answer_is_waited_for_while_the_server_speaks(
    together: SharedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PipelinedConnection, "silence_s", 1.0)
    await together.run("PING")
    slow = [asyncio.create_task(together.run("BLPOP", "nothing", "0.4")) for _ in range(3)]  # one after the other

    assert await asyncio.gather(*slow) == [None, None, None]


async def test_a_server_that_loads_or_is_full_is_an_outage(redis_url: str) -> None:
    async with cheat(b"-LOADING Redis is loading the dataset in memory\r\n") as (url, _), connect(url) as client:
        with pytest.raises(UnavailableError):
            async with translated("the store"):
                await SharedConnection(client).run("PING")
    async with connect(redis_url) as client:
        together = SharedConnection(client)
        script = Script(client, together, "redis.call('SET', KEYS[1], ARGV[1]) return 1")
        await together.run("CONFIG", "SET", "maxmemory", "1")
        try:
            for write in (together.run("SET", "a", "b"), script("a", ["b"])):
                with pytest.raises(UnavailableError, match="writes"):
                    async with translated("the store"):
                        await write
        finally:
            await together.run("CONFIG", "SET", "maxmemory", "0")


async def test_what_is_not_redis_is_an_outage() -> None:
    async with cheat(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (url, _), connect(url) as client:
        with pytest.raises(UnavailableError):
            async with translated("the store"):
                await SharedConnection(client).run("PING")


async def test_a_mistake_of_ours_stays_what_it_is(together: SharedConnection) -> None:
    with pytest.raises(ResponseError):
        async with translated("the store"):
            await together.run("NONSENSE")


async def test_a_script_that_redis_forgot_is_loaded_again(redis_url: str) -> None:
    async with connect(redis_url) as client:
        together = SharedConnection(client)
        script = Script(client, together, "return ARGV[1]")
        assert await script("key", ["a"]) == b"a"
        await together.run("SCRIPT", "FLUSH")

        assert await script("key", ["b"]) == b"b"


@pytest.fixture
def encrypted_url(tmp_path: Path) -> Iterator[str]:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*request, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate]
    options = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--requirepass", "secret"]
    with subprocess.Popen(["redis-server", *options, *files, "--save", ""], stdout=subprocess.DEVNULL) as server:
        yield f"rediss://:secret@localhost:{port}/2?ssl_ca_certs={certificate}"
        server.kill()


async def test_the_connection_may_be_encrypted_and_need_a_password(encrypted_url: str) -> None:
    async with connect(encrypted_url) as client:
        together = SharedConnection(client)
        await until(partial(_answers, together))

        assert await together.run("SET", "key", "x" * 1_000_000) == b"OK"
        assert len(await together.run("GET", "key")) == 1_000_000


async def _answers(together: SharedConnection) -> bool:
    try:
        return bool(await together.run("PING") == b"PONG")
    except RedisConnectionError:
        return False
