"""A gateway that asks for no keys answers programs and its own pages, and no page of another site."""

import json

import httpx
import pytest
import pytest_asyncio

from support.gateway_grid import gateway_grid
from support.rest import refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with gateway_grid(
        tmp_path_factory.mktemp("grid"),
        auth="auto",
        gateway_public_url="https://grid.example/api",
        gateway_hosts="host.docker.internal, Mac.Local",
    ) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def grid(running):
    return await running.clean()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("keyed")) as opened:
        yield opened


def port_of(grid):
    return httpx.URL(grid.url).port


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:{port}", "127.8.9.10:1", "localhost", "LOCALHOST:{port}", "localhost."),
        *("app.localhost:{port}", "[::1]", "[::1]:{port}", "[::ffff:127.0.0.1]:80"),
        *("grid.example", "Grid.Example:443", "host.docker.internal:{port}", "mac.local"),
    ],
)
async def test_names_of_this_machine_and_those_in_the_settings_are_answered(grid, host):
    answer = await grid.http.get("/functions", headers={"host": host.format(port=port_of(grid))})

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.io", "localhostx"),
        *("192.168.1.5", "8.8.8.8:{port}", "0.0.0.0:{port}", "[2001:db8::1]", "127.0.0.1@evil.example"),
        *(
            "",
            "[",
            "[::1",
            "a b",
            "127.0.0.1:x",
            "%6cocalhost",
            ".localhost.evil",
            "localhost/",
            "localhost?a",
            "localhost#a",
        ),
    ],
)
async def test_a_name_that_an_attacker_may_own_is_refused_with_the_cure(grid, host):
    for method, path in (("GET", "/functions"), ("POST", "/run"), ("POST", "/upload"), ("GET", "/nothing")):
        answer = await grid.http.request(method, path, headers={"host": host.format(port=port_of(grid))})

        problem = refused(answer, 403, "Host")
        assert problem["reason"] == "FOREIGN_PAGE"
        assert "NANOGRID_GATEWAY_PUBLIC_URL" in problem["detail"]
    assert grid.invoker.requests == []


FOREIGN = [
    ("Origin", "http://evil.example"),
    ("Origin", "https://127.0.0.1"),
    ("Origin", "http://127.0.0.1:1"),
    ("Origin", "http://localhost:{port}"),
    ("Origin", "http://127.0.0.1:{port}.evil.example"),
    ("Origin", "http://127.0.0.1:{port}@evil.example"),
    ("Origin", "null"),
    ("Origin", ""),
    ("Origin", "file://"),
    ("Origin", "chrome-extension://abcdefghijklmnop"),
    ("Origin", "http://[::1"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Site", "same-site"),
    ("Sec-Fetch-Site", "Cross-Site"),
    ("Sec-Fetch-Site", "something-new"),
]


@pytest.mark.parametrize(("field", "value"), FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/run"), ("POST", "/upload"), ("GET", "/jobs"), ("OPTIONS", "/run"), ("DELETE", "/functions/x")],
)
async def test_what_a_browser_sends_for_a_foreign_page_is_refused(grid, field, value, method, path):
    function_id = grid.invoker.will_end()
    headers = {field: value.format(port=port_of(grid)), "content-type": "application/json"}

    answer = await grid.http.request(method, path, headers=headers, content=json.dumps({"function_id": function_id}))

    assert refused(answer, 403, field)["reason"] == "FOREIGN_PAGE"
    assert "access-control-allow-origin" not in answer.headers
    assert grid.invoker.requests == []


async def test_an_old_browser_that_sends_a_form_with_its_referer_only_is_refused(grid):
    files = {"file": ("a.py", b"x = 1\n")}

    answer = await grid.http.post("/upload", files=files, headers={"Referer": "http://evil.example/page"})

    refused(answer, 403, "Referer")
    assert grid.artifacts.begun == 0


async def test_a_link_from_elsewhere_that_changes_nothing_is_no_harm(grid):
    answer = await grid.http.get("/functions", headers={"Referer": "http://wiki.example/page"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "{url}"},
        {"Origin": "{url}", "Sec-Fetch-Site": "same-origin", "Referer": "{url}/docs"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://grid.example", "Host": "grid.example"},
        {"Origin": "https://grid.example:443", "Host": "127.0.0.1:8080"},
    ],
)
async def test_programs_and_own_pages_are_served(grid, headers):
    function_id = grid.invoker.will_end()
    filled = {name: value.format(url=grid.url) for name, value in headers.items()}

    answer = await grid.http.post("/run", json={"function_id": function_id}, headers=filled)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("path", ["/run", "/functions"])
async def test_a_body_of_a_kind_that_pages_may_send_anywhere_is_no_json(grid, path, kind):
    answer = await grid.http.post(path, content=b'{"function_id": "x"}', headers={"content-type": kind})

    assert "application/json" in refused(answer, 415, "Content-Type")["detail"]


async def test_what_tells_nothing_of_users_is_open_to_balancers_of_any_name(grid):
    for path in ("/health", "/ready", "/docs", "/openapi.json"):
        answer = await grid.http.get(path, headers={"host": "10.0.0.7:8080", "sec-fetch-site": "cross-site"})

        assert answer.status_code == 200


async def test_a_signed_link_to_an_output_works_on_any_page(grid):
    answer = await grid.http.get("/outputs/job-1/a?expires=1&signature=x", headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 404  # a wrong signature, which is looked at


async def test_with_keys_pages_are_no_danger_and_no_header_of_theirs_is_looked_at(keyed):
    function_id = keyed.invoker.will_end()
    headers = {"host": "any.example", "origin": "https://app.example", "sec-fetch-site": "cross-site"}

    answer = await keyed.http.post("/run", json={"function_id": function_id}, headers=headers)

    assert answer.status_code == 200


async def test_beyond_loopback_without_keys_addresses_will_do_and_foreign_names_will_not(tmp_path):
    async with gateway_grid(tmp_path, auth="off", gateway_listen="0.0.0.0:8080") as grid:
        for host, status in (("10.0.0.7:8080", 200), ("[2001:db8::1]", 200), ("evil.example", 403)):
            assert (await grid.http.get("/functions", headers={"host": host})).status_code == status
        foreign = {"host": "10.0.0.7", "origin": "http://evil.example"}
        assert (await grid.http.get("/functions", headers=foreign)).status_code == 403
