"""The operators' routes: they take the grid's internal token, with keys required and without."""

import pytest
import pytest_asyncio

from support.gateway_grid import TOKEN, gateway_grid
from support.rest import refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATOR = {"authorization": f"Bearer {TOKEN}"}
ROUTES = [
    ("POST", "/keys"),
    ("GET", "/keys"),
    ("DELETE", "/keys/0123456789ab"),
    ("GET", "/dead-letters"),
    ("POST", "/dead-letters/redrive"),
    ("POST", "/dead-letters/purge"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["on", "off"])
async def grid(request, tmp_path_factory):
    async with gateway_grid(tmp_path_factory.mktemp("grid"), auth=request.param) as opened:
        opened.http.headers.pop("authorization", None)
        opened.http.headers.pop("x-api-key", None)
        yield opened


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_owner_is_no_operator(grid, method, path):
    for headers in (await grid.key_of("kim"), {}):
        answer = await grid.http.request(method, path, headers=headers, json={} if method == "POST" else None)

        assert answer.status_code in (401, 403), answer.text
    assert answer.json()["reason"] in ("OPERATORS_ONLY", "UNAUTHENTICATED")


@pytest.mark.parametrize("token", ["guessed", f"{TOKEN}x", TOKEN[:-1], "\u00e9"])
async def test_only_the_whole_token_is_the_token(grid, token):
    answer = await grid.http.get("/keys", headers={"x-api-key": token.encode()})

    assert answer.status_code in (401, 403)


async def test_the_token_makes_nobody_an_owner(grid):
    answer = await grid.http.get("/keysmith", headers=OPERATOR)

    assert answer.status_code in (401, 404)


async def test_keys_come_page_by_page(grid):
    for number in range(3):
        made = await grid.http.post("/keys", headers=OPERATOR, json={"principal": f"p{number}"})
        assert made.status_code == 201, made.text
        assert made.json()["api_key"].startswith("ng_")

    first = (await grid.http.get("/keys?limit=2", headers=OPERATOR)).json()
    rest = (await grid.http.get("/keys", params={"cursor": first["next_cursor"]}, headers=OPERATOR)).json()

    assert [key["principal"] for key in first["keys"]] == ["p2", "p1"]
    assert rest["keys"][0]["principal"] == "p0"
    assert not any("api_key" in key for key in first["keys"] + rest["keys"])


@pytest.mark.parametrize("body", [{}, {"principal": None}, {"principal": 1}, {"principal": ""}, {"principal": "a b"}])
async def test_a_principal_that_cannot_be_is_named(grid, body):
    refused(await grid.http.post("/keys", headers=OPERATOR, json=body), 400, "principal")


async def test_a_key_that_never_was_is_not_found(grid):
    assert (await grid.http.delete("/keys/0123456789ab", headers=OPERATOR)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"letter_ids": "x"}, "letter_ids"),
        ({"letter_ids": [1]}, "letter_ids"),
        ({"letter_ids": [""]}, "letter_ids"),
        ({"all": "yes"}, "all"),
    ],
)
@pytest.mark.parametrize("path", ["/dead-letters/redrive", "/dead-letters/purge"])
async def test_a_choice_of_letters_that_cannot_be_is_named(grid, path, body, field):
    refused(await grid.http.post(path, headers=OPERATOR, json=body), 400, field)


async def test_a_page_of_letters_has_a_limit(grid):
    refused(await grid.http.get("/dead-letters?limit=101", headers=OPERATOR), 400, "limit")
