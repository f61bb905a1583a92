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
from services.registry.settings import RegistrySettings
from services.settings import StackSettings

ROOT = Path(__file__).parents[2]
SETTINGS = (
    StackSettings,
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
