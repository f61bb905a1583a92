"""GET and HEAD /outputs: parts of files and versions of them, as S3 answers."""

import httpx
import pytest
import pytest_asyncio

from nanogrid.v1.resources_pb2 import OutputFile
from support.fake_artifacts import MODIFIED
from support.gateway_grid import gateway_grid
from support.rest import refused
from support.waiting import WATCHDOG_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = bytes(range(256)) * 20
AT, BEFORE, AFTER = (
    f"Tue, 14 Nov 2023 22:13:{second} GMT" for second in (MODIFIED % 60, f"{MODIFIED % 60 - 1}", f"{MODIFIED % 60 + 1}")
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(grid):
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=WATCHDOG_S) as http:
        yield http


@pytest_asyncio.fixture(loop_scope="module")
async def link(grid):
    return await a_link(grid, BODY)


async def a_link(grid, body):
    function_id = grid.invoker.will_end(output_files=[OutputFile(key="a.bin", size_bytes=len(body))])
    answer = (await grid.http.post("/run", json={"function_id": function_id})).json()
    grid.artifacts.outputs[f"outputs/{answer['job_id']}/a.bin"] = body
    return answer["output_files"][0]


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=5000-", 5000, 5119),
        ("bytes=5119-", 5119, 5119),
        ("bytes=5000-99999", 5000, 5119),
        ("bytes=-20", 5100, 5119),
        ("bytes=-99999", 0, 5119),
        ("bytes=0-", 0, 5119),
        ("Bytes= 1-2", 1, 2),
        (f"bytes=0-{10**17}", 0, 5119),
    ],
)
async def test_a_part_is_sent_alone(browser, link, span, first, last):
    answer = await browser.get(link, headers={"range": span})
    head = await browser.head(link, headers={"range": span})

    assert answer.status_code == head.status_code == 206, answer.text
    assert answer.content == BODY[first : last + 1]
    for one in (answer, head):
        assert one.headers["content-range"] == f"bytes {first}-{last}/5120"
        assert one.headers["content-length"] == str(last + 1 - first)
        assert one.headers["content-security-policy"] == "sandbox"
    assert head.content == b""


@pytest.mark.parametrize("span", ["bytes=5120-", "bytes=5120-6000", "bytes=-0", f"bytes={10**17}-"])
async def test_a_part_beyond_the_file_is_refused_with_its_size(browser, link, span):
    answer = await browser.get(link, headers={"range": span})

    refused(answer, 416, "Range")
    assert answer.headers["content-range"] == "bytes */5120"


@pytest.mark.parametrize(
    "span",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-1", "items=0-1", "bytes=0-1,5-6", "bytes=0-1,-5"),
        *("0-1", "bytes=1--2", "bytes=+1-2", "bytes=٣-٤", "bytes=" + "9" * 500 + "-", "bytes=" + "0-1," * 1000),
    ],
)
async def test_what_is_no_single_range_gives_the_whole_file(browser, link, span):
    answer = await browser.get(link, headers={"range": span.encode()})

    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["accept-ranges"] == "bytes"


async def test_of_an_empty_file_there_is_no_part(grid, browser):
    link = await a_link(grid, b"")

    assert (await browser.get(link)).content == b""
    for span in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        assert (await browser.get(link, headers={"range": span})).headers["content-range"] == "bytes */0"


async def test_head_tells_what_get_does_and_reads_no_byte(grid, browser, link):
    head, got = await browser.head(link), await browser.get(link)

    assert (head.status_code, head.content) == (200, b"")
    told = [{name: value for name, value in one.headers.items() if name != "x-request-id"} for one in (head, got)]
    assert told[0].pop("date")
    assert told[1].pop("date")
    assert told[0] == told[1]
    assert head.headers["content-length"] == "5120"
    assert head.headers["last-modified"] == AT
    assert grid.artifacts.chunks_sent == 6


async def tag_of(browser, link):
    return (await browser.head(link)).headers["etag"]


@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"other", {tag}', "*", '"a","b",W/{tag}'])
async def test_a_version_that_the_client_has_is_not_sent_again(browser, link, condition):
    tag = await tag_of(browser, link)
    headers = {"if-none-match": condition.format(tag=tag), "range": "bytes=0-1"}

    for method in ("GET", "HEAD"):
        answer = await browser.request(method, link, headers=headers)

        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["last-modified"] == AT
        assert "content-type" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": '"other"'}, 200),
        ({"if-none-match": ""}, 200),
        ({"if-none-match": "{tag}x"}, 304),
        ({"if-modified-since": AT}, 304),
        ({"if-modified-since": AFTER}, 304),
        ({"if-modified-since": BEFORE}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-modified-since": "Tue, 14 Nov 99999 22:13:20 GMT"}, 200),
        ({"if-none-match": '"other"', "if-modified-since": AFTER}, 200),
        ({"if-none-match": "{tag}", "if-modified-since": BEFORE}, 304),
        ({"if-match": "{tag}"}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": "W/{tag}"}, 412),
        ({"if-match": '"other"'}, 412),
        ({"if-unmodified-since": AT}, 200),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": "tomorrow"}, 200),
        ({"if-match": "{tag}", "if-unmodified-since": BEFORE}, 200),
        ({"if-match": '"other"', "if-none-match": "{tag}"}, 412),
    ],
)
async def test_conditions_are_weighed_in_their_order(browser, link, headers, status):
    tag = await tag_of(browser, link)
    filled = {name: value.format(tag=tag) for name, value in headers.items()}

    answer = await browser.get(link, headers=filled)

    assert answer.status_code == status, answer.text
    assert (answer.content == BODY) == (status == 200)


@pytest.mark.parametrize(
    ("condition", "status"),
    [("{tag}", 206), (AT, 206), ('"other"', 200), ("W/{tag}", 200), (BEFORE, 200), (AFTER, 200), ("nonsense", 200)],
)
async def test_a_part_of_an_older_version_becomes_the_whole_file(browser, link, condition, status):
    tag = await tag_of(browser, link)

    answer = await browser.get(link, headers={"range": "bytes=0-1", "if-range": condition.format(tag=tag)})

    assert (answer.status_code, answer.content) == (status, BODY[:2] if status == 206 else BODY)


async def test_a_file_replaced_between_description_and_bytes_is_asked_for_again(grid, browser, link):
    [key] = grid.artifacts.outputs
    grid.artifacts.on_description = lambda: grid.artifacts.outputs.update({key: b"another"})

    answer = await browser.get(link, headers={"range": "bytes=0-1"})

    assert (answer.status_code, answer.json()["retryable"]) == (503, True)


async def test_without_its_signature_no_part_and_no_head_is_given(browser, link):
    for method, headers in (("HEAD", {}), ("GET", {"range": "bytes=0-1"}), ("GET", {"if-none-match": "*"})):
        answer = await browser.request(method, link[:-1], headers=headers)

        assert answer.status_code == 404
        assert "etag" not in answer.headers


async def test_whatever_answers_get_answers_head_alike(grid):
    function_id = grid.invoker.will_end()
    job = (await grid.http.post("/run", json={"function_id": function_id})).json()
    described = (await grid.http.get("/openapi.json")).json()["paths"]
    for path in [*(path for path, methods in described.items() if "get" in methods), "/docs", "/openapi.json"]:
        filled = path.format(job_id=job["job_id"], function_id=function_id, path="a")
        got, head = await grid.http.get(filled), await grid.http.head(filled)

        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
    assert not [path for path, methods in described.items() if "head" in methods]
