"""Links lead to where clients reach the gateway: by its settings, or by what a trusted proxy says, and nobody else."""

import httpx
import pytest
import pytest_asyncio
from pydantic import ValidationError

from gateway.settings import GatewaySettings
from nanogrid.v1.resources_pb2 import OutputFile
from support.gateway_grid import gateway_grid
from support.rest import refused, upload

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind_proxy(tmp_path_factory):
    trusted = "127.0.0.1, 10.0.0.0/8, 2001:db8::/32"
    async with gateway_grid(tmp_path_factory.mktemp("grid"), gateway_trusted_proxies=trusted) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def direct(tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid")) as opened:
        yield opened


async def links(grid, headers):
    """Where an upload, a submitted job and an output file are said to be, without the path of each."""
    function_id = grid.invoker.will_end(output_files=[OutputFile(key="a.txt", size_bytes=1)])
    made = await upload(grid, headers=headers)
    submitted = await grid.http.post("/run", json={"function_id": function_id}, headers=headers | {"x-async": "true"})
    ran = await grid.http.post("/run", json={"function_id": function_id}, headers=headers)
    return {
        made.headers["location"].partition("/functions/")[0],
        submitted.headers["location"].partition("/status/")[0],
        ran.json()["output_files"][0].partition("/outputs/")[0] if ran.status_code == 200 else ran.text,
    }


FORWARDED = [
    ({"x-forwarded-proto": "https", "host": "grid.example"}, "https://grid.example"),
    ({"x-forwarded-proto": "HTTPS", "x-forwarded-host": "grid.example"}, "https://grid.example"),
    ({"x-forwarded-host": "grid.example:8443", "x-forwarded-proto": "https"}, "https://grid.example:8443"),
    ({"x-forwarded-host": "grid.example"}, "http://grid.example"),
    ({"x-forwarded-host": "[2001:db8::7]:80"}, "http://[2001:db8::7]:80"),
    ({"x-forwarded-host": "grid.example", "x-forwarded-prefix": "/grid/v1/"}, "http://grid.example/grid/v1"),
    ({"x-forwarded-prefix": "/grid", "host": "a.example"}, "http://a.example/grid"),
    ({"forwarded": "for=1.2.3.4;proto=https;host=grid.example"}, "https://grid.example"),
    ({"forwarded": 'For="[2001:db8::1]:4711"; Proto=HTTPS; Host="grid.example:8443"'}, "https://grid.example:8443"),
    # What a client claims stands left of what the proxy adds.
    ({"x-forwarded-host": "evil.example, grid.example"}, "http://grid.example"),
    ({"forwarded": "host=evil.example, for=1.2.3.4;host=grid.example"}, "http://grid.example"),
    # Two trusted proxies in a row: the outer one's word counts.
    (
        {"x-forwarded-for": "1.2.3.4, 10.0.0.3", "x-forwarded-host": "evil.example, grid.example, inner"},
        "http://grid.example",
    ),
    (
        {"forwarded": 'for=1.2.3.4;host=grid.example, for="[2001:db8::3]:80";host=inner'},
        "http://grid.example",
    ),
]


@pytest.mark.parametrize(("headers", "address"), FORWARDED)
async def test_links_lead_to_where_a_trusted_proxy_says(behind_proxy, headers, address):
    assert await links(behind_proxy, headers) == {address}


@pytest.mark.parametrize(("headers", "_"), FORWARDED)
async def test_a_client_that_is_no_trusted_proxy_changes_no_link(direct, headers, _):
    host = headers.get("host", httpx.URL(direct.url).netloc.decode())

    assert await links(direct, headers) == {"", f"http://{host}"}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-proto": "javascript"},
        {"x-forwarded-host": "evil.example/path"},
        {"x-forwarded-host": "a b"},
        {"x-forwarded-host": 'evil".example'},
        {"x-forwarded-host": "user@evil.example"},
        {"x-forwarded-prefix": "//evil.example"},
        {"x-forwarded-prefix": "grid"},
        {"x-forwarded-prefix": "/a?b"},
        {"x-forwarded-proto": "", "x-forwarded-host": "", "x-forwarded-prefix": "", "forwarded": ""},
        {"forwarded": '"'},
        {"forwarded": ";=,=;" * 50},
        {"forwarded": "host"},
        {"x-forwarded-for": "," * 1000},
    ],
)
async def test_what_cannot_be_part_of_an_address_is_passed_over(behind_proxy, headers):
    assert await links(behind_proxy, headers) == {"", behind_proxy.url}


@pytest.mark.parametrize("host", ["", "[", "[::1", "a b", "x/y", "x:99999999", "é"])
async def test_a_host_that_is_none_makes_no_link_and_no_fault(direct, host):
    assert await links(direct, {"host": host.encode()}) == {"", direct.url}


@pytest.mark.parametrize("url", ["https://grid.example/api", "https://grid.example/api/"])
async def test_the_setting_stands_above_what_any_proxy_says(tmp_path, url):
    settings = {"gateway_public_url": url, "gateway_trusted_proxies": "127.0.0.1"}
    async with gateway_grid(tmp_path, **settings) as grid:
        assert await links(grid, {"x-forwarded-host": "other.example"}) == {"https://grid.example/api"}


async def test_without_keys_the_host_that_a_proxy_names_has_to_be_ours_too(tmp_path):
    async with gateway_grid(tmp_path, auth="auto", gateway_trusted_proxies="127.0.0.1") as grid:
        refused(await grid.http.get("/jobs", headers={"x-forwarded-host": "evil.example"}), 403, "Host")
        refused(await grid.http.get("/jobs", headers={"forwarded": "host=evil.example"}), 403, "Host")
        named = {"x-forwarded-host": "localhost:9000", "origin": "http://localhost:9000"}
        assert (await grid.http.get("/jobs", headers=named)).status_code == 200
        hidden = {"x-forwarded-host": "localhost", "host": "evil.example"}
        refused(await grid.http.get("/jobs", headers=hidden), 403, "Host")


@pytest.mark.parametrize(
    "settings",
    [
        {"gateway_public_url": "grid.example"},
        {"gateway_public_url": "ftp://grid.example"},
        {"gateway_public_url": "https://"},
        {"gateway_public_url": "https://grid.example/?a=b"},
        {"gateway_trusted_proxies": "10.0.0.0/33"},
        {"gateway_trusted_proxies": "proxy.example"},
        {"gateway_hosts": "http://a"},
        {"gateway_hosts": "a:80"},
    ],
)
async def test_a_setting_that_is_no_address_is_refused_at_start(settings):
    [name] = settings
    with pytest.raises(ValidationError, match=name):
        GatewaySettings(**settings)
