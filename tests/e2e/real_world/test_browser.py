"""What web pages can do to a grid that asks for no keys, tried by a real browser: nothing.

The browser takes `evil.example` for this machine, as it does after DNS rebinding. Its own guard of local addresses is
off, for other browsers have none, and the grid has to count a refused request, so that no test passes because a request
never arrived.
"""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from support.grid import Grid
from support.waiting import wait_until

pytestmark = pytest.mark.backends("embedded")

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-features=LocalNetworkAccessChecks"),
)
CODE = "def handler(event, context): return event"


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    chromium = shutil.which("chromium")
    if chromium is None:
        assert not os.environ.get("CI"), "CI needs chromium: deploy/local/setup.sh tests"
        pytest.skip("no chromium on the PATH")
    rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, rules])
        yield opened.new_context()
        opened.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    with browser.new_page() as opened:
        yield opened


@pytest.fixture(scope="module")
def blank() -> Iterator[int]:
    """The port of a server with one blank page: everything on it is done by the test."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>page</title><body></body>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def made(grid: Grid) -> str:
    return grid.upload(CODE)


def refused(grid: Grid) -> float:
    """How many requests the grid has refused with 403 so far."""
    counters = grid.http.get("/metrics").text
    return sum(map(float, re.findall(r'nanogrid_gateway_requests_total\{.*status="403"\} (\S+)', counters)))


def jobs_of(grid: Grid, made: str) -> list[dict[str, object]]:
    return grid.http.get("/jobs", params={"function_id": made}).json()["jobs"]


FOREIGN = ["http://evil.example:{port}/", "http://127.0.0.1:{port}/", "http://localhost:{port}/"]


@pytest.mark.parametrize("address", FOREIGN)
def test_a_form_of_a_foreign_page_uploads_nothing(grid: Grid, page: Page, blank: int, address: str):
    name = f"from-{urlsplit(address).hostname}"
    page.goto(address.format(port=blank))
    before = refused(grid)

    with page.expect_navigation():
        page.evaluate(
            """([url, name]) => {
                document.body.innerHTML = `<form method=post enctype=multipart/form-data action=${url}>
                  <input name=function_name value=${name}><input name=runtime value=python><input type=file name=file>`;
                const chosen = new DataTransfer();
                chosen.items.add(new File(["def handler(e, c): return 1"], "main.py"));
                document.querySelector("[type=file]").files = chosen.files;
                document.forms[0].submit();
            }""",
            [f"{grid.url}/upload", name],
        )

    assert refused(grid) == before + 1
    assert json.loads(page.inner_text("body"))["reason"] == "FOREIGN_PAGE"
    assert grid.http.get("/functions", params={"name": name}).json()["functions"] == []


WAYS = {
    "text": "fetch(url, {method: 'POST', mode: 'no-cors', body: call})",
    "no type": "fetch(url, {method: 'POST', mode: 'no-cors', body: new Blob([call])})",
    "form": "fetch(url, {method: 'POST', mode: 'no-cors', body: new URLSearchParams(call)})",
    "beacon": "new Promise(done => { navigator.sendBeacon(url, call); setTimeout(done, 0); })",
    "json, which is asked about first": (
        "fetch(url, {method: 'POST', headers: {'content-type': 'application/json'}, body: call}).catch(() => 0)"
    ),
    "script": "new Promise(done => { const tag = document.createElement('script'); tag.src = url + '?' + call;"
    " tag.onerror = tag.onload = done; document.body.append(tag); })",
    "sandboxed frame": "new Promise(done => { const frame = document.createElement('iframe'); frame.sandbox ="
    " 'allow-scripts'; frame.onload = done; frame.srcdoc = `<script>fetch('${url}', {method: 'POST', mode: 'no-cors',"
    " body: '${call}'})</scr` + 'ipt>'; document.body.append(frame); })",
}


@pytest.mark.parametrize("way", WAYS)
def test_no_request_of_a_foreign_page_runs_a_function(grid: Grid, page: Page, blank: int, made: str, way: str):
    call = [f"{grid.url}/run", json.dumps({"function_id": made})]
    for address in FOREIGN:
        page.goto(address.format(port=blank))
        goal = refused(grid) + 1

        page.evaluate(f"([url, call]) => {WAYS[way]}.then(() => null)", call)

        wait_until(lambda goal=goal: refused(grid) >= goal)
        assert jobs_of(grid, made) == []


def test_a_page_whose_name_was_made_to_mean_this_machine_reaches_nothing(grid: Grid, page: Page, made: str):
    address = f"http://evil.example:{urlsplit(grid.url).port}"
    page.route("**/page", lambda route: route.fulfill(content_type="text/html", body="<title>evil</title>"))
    page.goto(f"{address}/page")  # from here on the page and the grid are of one origin to the browser

    told = page.evaluate(
        """async function_id => {
            const json = {"content-type": "application/json"};
            const run = {method: "POST", headers: json, body: JSON.stringify({function_id})};
            const forged = {headers: {"x-forwarded-host": "localhost", "forwarded": "host=localhost"}};
            const form = new FormData();
            form.append("file", new File(["x = 1"], "main.py"));
            const asked = [fetch("/functions"), fetch("/jobs", forged), fetch("/run", run),
                           fetch("/upload", {method: "POST", body: form}),
                           fetch(`/functions/${function_id}`, {method: "DELETE"})];
            return Promise.all(asked.map(async one => [(await one).status, (await (await one).json()).field]));
        }""",
        made,
    )

    assert told == [[403, "Host"]] * 5
    assert grid.http.get(f"/functions/{made}").status_code == 200
    assert jobs_of(grid, made) == []


def test_the_grids_own_page_loads_and_may_call_functions(grid: Grid, page: Page, made: str):
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.goto(f"{grid.url}/docs")
    page.wait_for_selector("details")

    status, job = page.evaluate(
        """async function_id => {
            const body = JSON.stringify({function_id, payload: {name: "브라우저"}});
            const headers = {"content-type": "application/json"};
            const answer = await fetch("/run", {method: "POST", headers, body});
            return [answer.status, await answer.json()];
        }""",
        made,
    )

    assert (status, job["result"]) == (200, {"name": "브라우저"})
    assert faults == []


def test_a_link_to_an_output_file_opens_from_a_foreign_page_and_its_scripts_do_not_run(
    grid: Grid, page: Page, blank: int
):
    writer = grid.upload(
        "def handler(event, context):\n"
        "    open('/output/page.html', 'w').write('<p>text</p><script>document.title = \"ran\"</script>')\n"
    )
    [url] = grid.run(writer)["output_files"]
    page.goto(f"http://evil.example:{blank}/")

    with page.expect_navigation():
        page.evaluate("url => { location = url }", url)

    assert page.inner_text("p") == "text"
    assert page.title() != "ran"
