"""API keys by command line, against a real gateway and registry."""

import json

import pytest

from nanogrid.local.grid import write_grid
from support.http_api import http_api
from support.local_grid import TOKEN, a_grid, served
from support.redis_server import free_port


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A gateway and a registry that want keys."""
    with served("registry", "gateway", folder=tmp_path_factory.mktemp("data")) as url:
        yield url


@pytest.fixture
def at(grid, api, monkeypatch):
    """The grid as the environment names it."""
    monkeypatch.setenv("NANOGRID_URL", grid)
    return grid


def test_keys_are_made_listed_and_revoked_with_the_internal_token(at, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_INTERNAL_TOKEN", TOKEN)

    code, secret, _ = nanogrid("keys", "create", "alice")
    key_id = secret.split("_")[1]
    assert code == 0
    assert secret.startswith("ng_")
    assert nanogrid("functions", "list", "--api-key", secret.strip())[0] == 0
    assert nanogrid("keys", "revoke", key_id)[:2] == (0, f"revoked {key_id}\n")

    (listed,) = json.loads(nanogrid("keys", "list", "-o", "json")[1])["keys"]
    assert listed["principal"] == "alice"
    assert listed["created_at"].endswith("Z")
    assert listed["revoked_at"]
    assert "secret" not in listed


def test_a_key_that_never_was_is_not_found_and_a_bad_principal_refused(at, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_INTERNAL_TOKEN", TOKEN)

    assert nanogrid("keys", "revoke", "0123456789ab")[0] == 3
    assert nanogrid("keys", "create", "a b")[0] == 2


def test_keys_take_the_internal_token_and_nothing_less(at, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_INTERNAL_TOKEN", TOKEN)
    ordinary = nanogrid("keys", "create", "alice")[1].strip()
    monkeypatch.delenv("NANOGRID_INTERNAL_TOKEN")

    for arguments in ([], ["--api-key", "guessed"], ["--api-key", ordinary]):
        code, out, err = nanogrid("keys", "create", "mallory", *arguments)
        assert (code, out) == (4, "")
        assert "NANOGRID_INTERNAL_TOKEN" in err


def test_the_internal_token_opens_nothing_but_the_operators_routes(at, nanogrid):
    assert nanogrid("functions", "list", "--api-key", TOKEN)[0] == 4


@pytest.fixture
def described(grid, api, monkeypatch, tmp_path):
    """A data folder that says that it is the grid's, and has its token."""
    monkeypatch.delenv("NANOGRID_URL")
    (tmp_path / "internal-token").write_text(TOKEN)
    write_grid(tmp_path, a_grid(grid))
    return tmp_path


def test_the_internal_token_is_found_in_the_data_folder_of_the_grid_that_is_asked(nanogrid, described):
    assert nanogrid("keys", "list", "--data-dir", described)[0] == 0


def test_every_verb_asks_the_grid_that_it_was_told_and_shows_it_no_token_of_another(nanogrid, described):
    with http_api() as other:
        for arguments in (["create", "alice"], ["list"], ["revoke", "0123456789ab"]):
            nanogrid("keys", *arguments, "--data-dir", described, "--url", other.url)

        assert [one.method for one in other.asked] == ["POST", "GET", "DELETE"]
        assert not any("authorization" in one.headers for one in other.asked)


def test_a_grid_that_is_down_is_unavailable(api, nanogrid):
    assert nanogrid("keys", "list", "--url", f"http://127.0.0.1:{free_port()}")[0] == 5
