"""Bodies that arrive compressed are taken as what they were, within the limits, and nothing else is."""

import gzip
import json
import zlib

import brotli
import pytest
import pytest_asyncio

from gateway.rest.encodings import _DECODERS, zstd
from support.gateway_grid import gateway_grid
from support.rest import CODE, FIELDS, MULTIPART, by_hand, field_part, file_part, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
ENCODERS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}
BOMBS = ENCODERS | {"br": lambda data: brotli.compress(data, quality=1)}
ENVELOPE = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    limits = {"gateway_payload_bytes": 3_000_000, "gateway_upload_bytes": 3_000_000}
    async with gateway_grid(tmp_path_factory.mktemp("grid"), **limits) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


def call(grid, payload):
    return json.dumps({"function_id": grid.invoker.will_end(), "payload": payload}).encode()


def form(code):
    return by_hand(*(field_part(name, value.encode()) for name, value in FIELDS.items()), file_part(code))


async def in_bytes(body):
    for at in range(len(body)):
        yield body[at : at + 1]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("payload", [{}, {"글": "값" * 1000}, "x" * 2_900_000], ids=["small", "text", "large"])
async def test_a_compressed_call_is_the_call_that_it_was(grid, name, payload):
    body = ENCODERS[name](call(grid, payload))

    answer = await grid.http.post("/run", content=body, headers=JSON | {"content-encoding": name})

    assert answer.status_code == 200, answer.text
    assert json.loads(grid.invoker.requests[-1].payload) == payload


@pytest.mark.parametrize("name", ENCODERS)
async def test_a_compressed_form_is_the_upload_that_it_was(grid, name):
    code = CODE + b"# " + bytes(range(32, 127)) * 20_000
    body = ENCODERS[name](form(code))

    answer = await grid.http.post("/upload", content=body, headers=MULTIPART | {"content-encoding": name.upper()})

    assert answer.status_code == 201, answer.text
    assert list(grid.artifacts.code.values()) == [code]


@pytest.mark.parametrize("name", ENCODERS)
async def test_a_compressed_body_may_come_a_byte_at_a_time(grid, name):
    payload = {"a": list(range(200))}
    body = ENCODERS[name](call(grid, payload))

    answer = await grid.http.post("/run", content=in_bytes(body), headers=JSON | {"content-encoding": name})

    assert answer.status_code == 200, answer.text
    assert json.loads(grid.invoker.requests[-1].payload) == payload


@pytest.mark.parametrize("name", ["gzip", "zstd"])
async def test_a_body_in_several_members_is_one(grid, name):
    body = call(grid, {"a": 1})
    members = b"".join(ENCODERS[name](body[at : at + 7]) for at in range(0, len(body), 7))

    answer = await grid.http.post("/run", content=members, headers=JSON | {"content-encoding": name})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("name", ["identity", "Identity", "", "x-gzip", "identity, gzip"])
async def test_other_names_of_the_same_are_known(grid, name):
    body = call(grid, {})
    body = gzip.compress(body) if "gzip" in name else body

    answer = await grid.http.post("/run", content=body, headers=JSON | {"content-encoding": name})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("name", ENCODERS)
async def test_a_bomb_is_refused_while_it_is_inflated(grid, name):
    bomb = BOMBS[name](b'{"function_id": "' + b" " * 60_000_000)
    assert len(bomb) < 100_000

    called = await grid.http.post("/run", content=bomb, headers=JSON | {"content-encoding": name})
    uploaded = await grid.http.post(
        "/upload", content=BOMBS[name](form(b"#" * 60_000_000)), headers=MULTIPART | {"content-encoding": name}
    )

    assert refused(called, 413, "body")["limit"] == 3_000_000 + ENVELOPE
    assert refused(uploaded, 413, "body")["limit"] == 3_000_000
    assert grid.artifacts.code == {}


@pytest.mark.parametrize("name", ENCODERS)
async def test_of_a_bomb_only_pieces_are_held(name):
    pieces = _DECODERS[name]().feed(BOMBS[name](bytes(60_000_000)))

    assert max(len(piece) for piece in pieces) < 1_000_000


async def test_a_compressed_body_over_the_limit_is_refused_before_it_is_read(grid):
    answer = await grid.http.post("/run", content=b"x" * 5_000_000, headers=JSON | {"content-encoding": "gzip"})

    body = refused(answer, 413, "body")
    assert (body["limit"], body["actual"]) == (3_000_000 + ENVELOPE, 5_000_000)


@pytest.mark.parametrize(
    "name", ["deflate", "compress", "lz4", "aws-chunked", "utf-8", "gzip, gzip", "gzip, br", "*", "gzip;q=1", "x" * 999]
)
@pytest.mark.parametrize(("path", "kind"), [("/run", JSON), ("/functions", JSON), ("/upload", MULTIPART)])
async def test_another_encoding_is_refused_and_the_ones_taken_are_named(grid, name, path, kind):
    answer = await grid.http.post(path, content=zlib.compress(b"{}"), headers=kind | {"content-encoding": name})

    refused(answer, 415, "Content-Encoding")
    assert answer.headers["accept-encoding"] == "gzip, br, zstd"


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("spoil", ["cut", "other", "behind", "flipped"])
async def test_a_body_that_is_not_what_it_says_is_refused(grid, name, spoil):
    good = ENCODERS[name](call(grid, {"a": "b" * 1000}))
    flipped = bytes([*good[:-6], *(byte ^ 0xFF for byte in good[-6:])])
    body = {"cut": good[:-3], "other": b'{"function_id": "x"}', "behind": good + b"more", "flipped": flipped}[spoil]

    answer = await grid.http.post("/run", content=body, headers=JSON | {"content-encoding": name})

    assert answer.status_code == 400, answer.text
    assert grid.invoker.jobs == {}


@pytest.mark.parametrize("name", ENCODERS)
async def test_an_empty_body_is_no_json_however_it_is_encoded(grid, name):
    for body in (b"", ENCODERS[name](b"")):
        answer = await grid.http.post("/run", content=body, headers=JSON | {"content-encoding": name})

        refused(answer, 400, "body")


async def test_a_frame_that_asks_for_much_memory_is_refused(grid):
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(call(grid, "x" * 100_000)) + compressor.flush()

    answer = await grid.http.post("/run", content=body, headers=JSON | {"content-encoding": "zstd"})

    assert "memory" in refused(answer, 400, "body")["detail"]
