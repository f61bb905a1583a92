"""API keys by command line, against a real registry."""

import json
import os
import subprocess
import sys

import pytest

from support.redis_server import free_port


@pytest.fixture
def registry(api, tmp_path, monkeypatch):
    """A real registry that wants the internal token."""
    address = f"127.0.0.1:{free_port()}"
    env = {"NANOGRID_REGISTRY_LISTEN": address, "NANOGRID_AUTH": "on", "NANOGRID_INTERNAL_TOKEN": "the-grids-own"}
    command = [sys.executable, "-P", "-m", "services.registry"]
    with subprocess.Popen(
        command, env=os.environ | env | {"NANOGRID_DATA_DIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if '"serving"' in line:
                break
        monkeypatch.setenv("NANOGRID_REGISTRY_ADDRESS", address)
        yield address
        process.terminate()
        process.communicate()


def test_keys_are_made_listed_and_revoked_with_the_internal_token(registry, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_INTERNAL_TOKEN", "the-grids-own")

    code, secret, _ = nanogrid("keys", "create", "alice")
    key_id = secret.split("_")[1]
    assert code == 0
    assert secret.startswith("ng_")
    assert nanogrid("keys", "revoke", key_id)[:2] == (0, f"revoked {key_id}\n")

    (listed,) = json.loads(nanogrid("keys", "list", "-o", "json")[1])["keys"]
    assert listed["principal"] == "alice"
    assert listed["revoked_at"]
    assert "secret" not in listed


def test_keys_need_the_internal_token(registry, nanogrid, monkeypatch):
    code, _, err = nanogrid("keys", "create", "alice")

    assert code == 4
    assert "NANOGRID_INTERNAL_TOKEN" in err


def test_the_internal_token_is_found_in_the_data_folder(registry, nanogrid, tmp_path):
    (tmp_path / "internal-token").write_text("the-grids-own")

    assert nanogrid("keys", "list", "--data-dir", tmp_path)[0] == 0


def test_a_registry_that_is_down_is_unavailable(api, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_REGISTRY_ADDRESS", f"127.0.0.1:{free_port()}")

    assert nanogrid("keys", "list")[0] == 5
