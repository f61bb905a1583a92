"""What the README promises exists."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from gateway.settings import GatewaySettings
from nanogrid.cli.app import app
from services.artifacts.settings import ArtifactsSettings
from services.executor.settings import ExecutorSettings
from services.invoker.settings import InvokerSettings
from services.local.settings import LocalGridSettings
from services.registry.settings import RegistrySettings

ROOT = Path(__file__).parents[3]
SETTINGS = (
    LocalGridSettings,
    RegistrySettings,
    ArtifactsSettings,
    InvokerSettings,
    ExecutorSettings,
    GatewaySettings,
)
_OF_THE_COMMAND_LINE = {option.envvar for option in get_command(app).params}


def test_every_setting_it_names_is_read_by_somebody():
    named = set(re.findall(r"NANOGRID_[A-Z_]*[A-Z]", (ROOT / "README.md").read_text()))
    read = {f"NANOGRID_{name.upper()}" for settings in SETTINGS for name in settings.model_fields}

    assert named - read - _OF_THE_COMMAND_LINE == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_it_points_to_is_there(page):
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text())

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_it_names_exists():
    named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named - targets == set()


@pytest.mark.parametrize("page", ["SPECIFICATION.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/reliability.md"])
def test_every_path_of_the_sources_it_names_is_there(page):
    named = re.findall(
        r"`((?:nanogrid|services|gateway|tests|protos|deploy|docs)/[\w./*-]+)", (ROOT / page).read_text()
    )

    assert [path for path in named if not any(ROOT.glob(path))] == []
