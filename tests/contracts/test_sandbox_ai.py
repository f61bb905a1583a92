"""The AI node is reachable from a sandbox at AI_ENDPOINT, and is all that is."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.executor.sandbox import CallRequest
from support.ollama_server import OllamaServer, answer_to, ollama_server
from support.redis_server import free_port
from support.sandboxes import Bench, open_bench
from support.waiting import until

ASK = """
import json, os, requests

def ask(prompt, **more):
    body = {"model": "llama3:8b", "prompt": prompt, **more}
    return requests.post(os.environ["AI_ENDPOINT"] + "/api/generate", json=body, stream=more["stream"])

def handler(event, context):
    answer = ask(event["prompt"], stream=event["stream"])
    if answer.status_code != 200 or not event["stream"]:
        return {"status": answer.status_code, **answer.json()}
    said = ""
    for line in answer.iter_lines():
        said += json.loads(line)["response"]
        print(said, flush=True)
    return {"status": answer.status_code, "response": said}
"""


@pytest.fixture
def ollama() -> Iterator[OllamaServer]:
    with ollama_server() as server:
        yield server


@pytest.fixture
async def asking(sandbox_url: str, tmp_path: Path, ollama: OllamaServer) -> AsyncIterator[Bench]:
    async with open_bench(sandbox_url, tmp_path, ai_endpoint=ollama.url) as bench:
        yield bench


@pytest.fixture
async def docker_asking(tmp_path: Path, ollama: OllamaServer) -> AsyncIterator[Bench]:
    async with open_bench("docker:", tmp_path, ai_endpoint=ollama.url) as bench:
        yield bench


@pytest.mark.parametrize("stream", [False, True])
async def test_a_function_asks_the_ai_node(docker_asking: Bench, *, stream: bool) -> None:
    loaded = await docker_asking.load(ASK)

    called = await loaded.call({"prompt": "Tell me a story", "stream": stream})

    assert called.value["status"] == 200
    assert called.value["response"] == answer_to("Tell me a story")


async def test_the_standard_library_is_enough_to_ask(asking: Bench) -> None:
    code = """
import json, os, urllib.request
def handler(event, context):
    body = json.dumps({"model": "llama3:8b", "prompt": event, "stream": False}).encode()
    with urllib.request.urlopen(os.environ["AI_ENDPOINT"] + "/api/generate", body) as answer:
        return json.load(answer)["response"]
"""
    loaded = await asking.load(code)

    assert (await loaded.call("안녕")).value == answer_to("안녕")


async def test_the_node_is_where_its_clients_look_for_it_by_default(docker_asking: Bench) -> None:
    code = """
import json, urllib.request
def handler(event, context):
    body = json.dumps({"model": "llama3:8b", "prompt": "hi", "stream": False}).encode()
    with urllib.request.urlopen(f"http://{event}:11434/api/generate", body) as answer:
        return json.load(answer)["response"]
"""
    loaded = await docker_asking.load(code)

    for host in ("localhost", "127.0.0.1"):
        assert (await loaded.call(host)).value == answer_to("hi")


async def test_words_arrive_while_the_node_is_still_talking(docker_asking: Bench, ollama: OllamaServer) -> None:
    ollama.hold = threading.Event()
    loaded = await docker_asking.load(ASK)
    output: list[bytes] = []

    payload = json.dumps({"prompt": "one two", "stream": True}).encode()
    request = CallRequest("job-1", payload, 20, lambda _, piece: output.append(piece))
    call = asyncio.create_task(loaded.sandbox.call(request))
    await until(lambda: b"".join(output) == b"In\n")
    ollama.hold.set()

    assert json.loads((await call).result or b"")["response"] == answer_to("one two")


async def test_a_prompt_of_a_megabyte(docker_asking: Bench) -> None:
    loaded = await docker_asking.load(ASK)
    prompt = "long " * 210_000

    called = await loaded.call({"prompt": prompt, "stream": False})

    assert called.value["response"] == answer_to(prompt)


async def test_twenty_questions_at_once(docker_asking: Bench, ollama: OllamaServer) -> None:
    ollama.together = threading.Barrier(20)
    code = (
        ASK
        + """
from concurrent.futures import ThreadPoolExecutor
def handler(event, context):
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(lambda n: ask(f"question {n}", stream=False).json()["response"], range(20)))
"""
    )
    loaded = await docker_asking.load(code)

    called = await loaded.call()

    assert called.value == [answer_to(f"question {n}") for n in range(20)]


async def test_every_fresh_call_can_ask(docker_asking: Bench) -> None:
    loaded = await docker_asking.load(ASK, fresh=True)

    answers = [(await loaded.call({"prompt": f"{n}", "stream": False})).value["response"] for n in range(3)]

    assert answers == [answer_to(str(n)) for n in range(3)]


async def test_a_thawed_sandbox_can_ask_on_its_old_connection(docker_asking: Bench) -> None:
    code = (
        ASK
        + """
session = requests.Session()
def handler(event, context):
    body = {"model": "llama3:8b", "prompt": "x", "stream": False}
    return session.post(os.environ["AI_ENDPOINT"] + "/api/generate", json=body).json()["response"]
"""
    )
    loaded = await docker_asking.load(code)
    await loaded.call()

    await loaded.sandbox.freeze()
    await loaded.sandbox.thaw()

    assert (await loaded.call()).value == answer_to("x")


async def test_who_stops_talking_is_still_answered(docker_asking: Bench) -> None:
    code = """
import socket
def handler(event, context):
    with socket.create_connection(("127.0.0.1", 11434)) as there:
        there.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        there.shutdown(socket.SHUT_WR)
        return there.makefile("rb").read().decode()
"""
    loaded = await docker_asking.load(code)

    assert (await loaded.call()).value.endswith("Ollama is running")


async def test_more_connections_than_are_served_wait_their_turn_and_disturb_nobody_else(docker_asking: Bench) -> None:
    code = """
import socket
many = []
def ask(there):
    with there:
        there.settimeout(20)
        there.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        return there.makefile("rb").read().decode()[-17:]
def handler(event, context):
    if event == "open":
        many.extend(socket.create_connection(("127.0.0.1", 11434)) for _ in range(110))
        return len(many)
    for one in many[:64]:
        one.close()
    return [ask(one) for one in many[64:]]
"""
    greedy, other = await docker_asking.load(code), await docker_asking.load(ASK)

    assert (await greedy.call("open")).value == 110
    assert (await other.call({"prompt": "x", "stream": False})).value["response"] == answer_to("x")
    assert (await greedy.call("ask")).value == ["Ollama is running"] * 46


async def test_nothing_of_a_connection_stays_in_pid_1(docker_asking: Bench) -> None:
    code = """
import os, socket, struct, time
def held():
    return len(os.listdir("/proc/1/fd"))
def connect(reset):
    with socket.create_connection(("127.0.0.1", 11434)) as there:
        there.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        if reset:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            there.makefile("rb").read()
def handler(event, context):
    before, until = held(), time.monotonic() + 100
    for n in range(200):
        connect(reset=n % 2)
    while held() > before and time.monotonic() < until:
        time.sleep(0.01)
    return held() - before
"""
    loaded = await docker_asking.load(code)

    assert (await loaded.call()).value == 0


async def test_nothing_else_can_be_reached(docker_asking: Bench, ollama: OllamaServer) -> None:
    code = """
import errno, socket
def attempt(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
        return "connected"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
def handler(places, context):
    return [attempt(*place) for place in places]
"""
    loaded = await docker_asking.load(code)
    there = int(ollama.url.rpartition(":")[2])
    loopback = [["127.0.0.1", there], ["127.0.0.1", 22], ["127.0.0.1", 11435], ["127.0.0.1", 8080]]
    beyond = [["169.254.169.254", 80], ["10.0.20.100", 11434], ["172.17.0.1", there], ["1.1.1.1", 53]]

    called = await loaded.call([*loopback, *beyond])

    assert called.value == ["ECONNREFUSED"] * len(loopback) + ["ENETUNREACH"] * len(beyond)


@pytest.mark.parametrize("line", ["CONNECT 127.0.0.1:22", "GET http://169.254.169.254/latest/meta-data/"])
async def test_the_way_to_the_node_leads_nowhere_else(docker_asking: Bench, line: str) -> None:
    with ollama_server() as other:
        code = f"""
import socket
def handler(event, context):
    with socket.create_connection(("127.0.0.1", 11434)) as there:
        there.sendall(b"{line} HTTP/1.1\\r\\nHost: {other.url[7:]}\\r\\nConnection: close\\r\\n\\r\\n")
        return there.makefile("rb").read().decode().splitlines()[0]
"""
        loaded = await docker_asking.load(code)

        called = await loaded.call()

    assert called.value.split()[1] in ("404", "501")  # what the node itself says to it


async def test_a_node_that_is_down_is_a_502_with_a_reason(tmp_path: Path) -> None:
    async with open_bench("docker:", tmp_path, ai_endpoint=f"http://127.0.0.1:{free_port()}") as bench:
        loaded = await bench.load(ASK)

        called = await loaded.call({"prompt": "x" * 1_000_000, "stream": False})

    assert called.value == {"status": 502, "error": "the AI node cannot be reached: ConnectionRefusedError"}


async def test_without_an_ai_node_connections_are_refused(docker_bench: Bench) -> None:
    code = """
import os, socket
def handler(event, context):
    try:
        socket.create_connection(("127.0.0.1", 11434))
    except ConnectionRefusedError:
        return os.environ["AI_ENDPOINT"]
"""
    loaded = await docker_bench.load(code)

    assert (await loaded.call()).value == "http://127.0.0.1:11434"


@pytest.mark.parametrize(("sandbox_url", "host"), [("docker:", "127.0.0.1:11434"), ("process:", "ai.internal:9")])
async def test_the_operators_path_is_kept(sandbox_url: str, host: str, tmp_path: Path) -> None:
    async with open_bench(sandbox_url, tmp_path, ai_endpoint="http://ai.internal:9/ollama") as bench:
        loaded = await bench.load("import os\ndef handler(event, context):\n    return os.environ['AI_ENDPOINT']\n")

        assert (await loaded.call()).value == f"http://{host}/ollama"


async def test_an_endpoint_that_is_no_url_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"AI_ENDPOINT: '10\.0\.20\.100:11434'"):
        async with open_bench("docker:", tmp_path, ai_endpoint="10.0.20.100:11434"):
            pass
