"""GET /outputs: files behind signed links."""

import httpx
import pytest
import pytest_asyncio

from nanogrid.errors import UnavailableError
from nanogrid.v1.resources_pb2 import OutputFile
from support.fake_artifacts import EXPIRES
from support.gateway_grid import gateway_grid
from support.waiting import WATCHDOG_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(grid):
    """A client without a key."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=WATCHDOG_S) as http:
        yield http


async def a_link(grid, name, body):
    """Have a job leave a file; returns its link."""
    function_id = grid.invoker.will_end(output_files=[OutputFile(key=name, size_bytes=len(body))])
    answer = (await grid.http.post("/run", json={"function_id": function_id})).json()
    grid.artifacts.outputs[f"outputs/{answer['job_id']}/{name}"] = body
    return answer["output_files"][0]


@pytest.mark.parametrize(
    "name", ["picture.png", "폴더/그림 1.png", "a%20b?c#d&e", "semi;colon\"quote'.txt", "-", "a/b/c/d"]
)
async def test_a_link_opens_in_a_browser_without_a_key(grid, browser, name):
    body = bytes(range(256)) * 20

    answer = await browser.get(await a_link(grid, name, body))

    assert answer.status_code == 200, answer.text
    assert answer.content == body
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["content-type"] == "text/plain"


async def test_a_file_cannot_run_as_a_page_of_ours(grid, browser):
    grid.artifacts.content_type = "text/html"

    answer = await browser.get(await a_link(grid, "폴더/page.html", b"<script>alert(1)</script>"))

    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''page.html"


async def test_an_empty_file_is_a_file(grid, browser):
    answer = await browser.get(await a_link(grid, "empty", b""))

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?expires=0&signature=",
        "?expires=&signature=",
        f"?expires={EXPIRES}",
        f"?expires={EXPIRES}&signature=",
        f"?expires={EXPIRES}&signature=wrong",
        f"?expires={EXPIRES}&signature=%00%ff",
        "?signature=abc",
        "?expires=0&signature=abc",
        "?expires=-1&signature=abc",
        "?expires=1e9&signature=abc",
        "?expires=99999999999999999999&signature=abc",
        "?expires=٣&signature=abc",
    ],
)
async def test_without_its_signature_a_link_opens_nothing(grid, browser, query):
    link = await a_link(grid, "secret.txt", b"secret")

    for client in (browser, grid.http):
        answer = await client.get(link.partition("?")[0] + query)

        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text


async def test_a_signature_opens_only_its_own_file(grid, browser):
    link = await a_link(grid, "mine", b"mine")
    other = await a_link(grid, "other", b"other")

    answer = await browser.get(other.partition("?")[0] + "?" + link.partition("?")[2])

    assert answer.status_code == 404


async def test_a_file_that_is_gone_is_not_found(grid, browser):
    link = await a_link(grid, "mine", b"mine")
    grid.artifacts.outputs.clear()

    assert (await browser.get(link)).status_code == 404


async def test_while_artifacts_is_down_a_link_may_be_tried_again(grid, browser):
    link = await a_link(grid, "mine", b"mine")
    grid.artifacts.refusal = UnavailableError("down")

    answer = await browser.get(link)

    assert (answer.status_code, answer.json()["retryable"]) == (503, True)


async def test_a_file_that_ends_early_is_not_passed_off_as_whole(grid, browser):
    link = await a_link(grid, "mine", b"x" * 5000)
    grid.artifacts.breaks_off = True

    with pytest.raises(httpx.RemoteProtocolError):
        await browser.get(link)


async def test_a_browser_that_leaves_ends_the_download(grid, browser):
    link = await a_link(grid, "large", b"x" * 50_000_000)

    async with browser.stream("GET", link) as answer:
        assert answer.status_code == 200

    await until(lambda: grid.artifacts.downloads_over == 1)
    assert grid.artifacts.chunks_sent < 50_000
