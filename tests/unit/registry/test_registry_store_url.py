"""Which store the registry opens."""

import stat

import pytest

from nanogrid.errors import UnavailableError
from services.registry.settings import RegistrySettings
from services.registry.store import open_store
from support.functions import stored


def test_without_a_choice_the_store_is_a_file_in_the_data_folder(tmp_path):
    assert RegistrySettings(data_dir=tmp_path).store_url == f"sqlite://{tmp_path}/registry.db"


def test_an_explicit_url_wins(monkeypatch):
    monkeypatch.setenv("NANOGRID_REGISTRY_STORE_URL", "sqlite:///elsewhere.db")

    assert RegistrySettings().store_url == "sqlite:///elsewhere.db"


async def test_a_data_folder_with_odd_characters_works(tmp_path):
    folder = tmp_path / "a b#c?d%20 한글"

    async with open_store(RegistrySettings(data_dir=folder).store_url):
        assert (folder / "registry.db").exists()


@pytest.mark.parametrize("url", ["", "mysql://x/y", "sqlite://host/path.db", "sqlite://", "sqlite:///"])
async def test_a_url_that_names_no_store_is_refused_with_the_cure(url):
    with pytest.raises(ValueError, match=r"NANOGRID_REGISTRY_STORE_URL.*sqlite:///"):
        async with open_store(url):
            pass


async def test_only_the_registrys_user_may_read_the_file(tmp_path):
    async with open_store(f"sqlite://{tmp_path}/registry.db") as store:
        await store.insert_function(stored("kim", "hello", 1))

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert set(modes.values()) == {0o600}, modes


async def test_a_store_that_cannot_be_opened_is_unavailable(tmp_path):
    (tmp_path / "registry.db").write_bytes(b"not a database, surely" * 100)

    with pytest.raises(UnavailableError):
        async with open_store(f"sqlite://{tmp_path}/registry.db"):
            pass


async def test_a_store_that_breaks_later_is_unavailable_and_says_nothing_of_sqlite(tmp_path):
    async with open_store(f"sqlite://{tmp_path}/registry.db") as store:
        await store._run(lambda: store._db.execute("DROP TABLE functions"))

        with pytest.raises(UnavailableError) as caught:
            await store.get_function("x")

    assert "sql" not in str(caught.value).lower()
