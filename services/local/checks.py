"""Checks the settings of every service before a local grid starts, and names those that no service reads."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.settings import GatewaySettings
from nanogrid.errors import BadSettingError
from nanogrid.settings import GridSettings
from services.artifacts.settings import ArtifactsSettings
from services.executor.settings import ExecutorSettings
from services.invoker.settings import InvokerSettings
from services.local.settings import LocalGridSettings
from services.registry.settings import RegistrySettings

# The local grid's own come first: its defaults are the ones that count here.
_READ: tuple[type[GridSettings], ...] = (
    LocalGridSettings,
    RegistrySettings,
    ArtifactsSettings,
    InvokerSettings,
    ExecutorSettings,
    GatewaySettings,
)
# Read elsewhere: by the command line, by the scripts that build images, by tests.
_ELSEWHERE = frozenset(
    {"NANOGRID_URL", "NANOGRID_API_KEY", "NANOGRID_CA_BUNDLE", "NANOGRID_OFFLINE", "NANOGRID_RPC_KEEPALIVE_S"}
)
# Read by SDKs, and decisive for the grid all the same.
_OF_SDKS = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "GOOGLE_APPLICATION_CREDENTIALS")
_PREFIX = "NANOGRID_"


def check_settings() -> None:
    """Read the settings of every service from the environment. BadSettingError names every one that cannot be."""
    faults: dict[str, None] = {}  # a shared setting is wrong for all of them
    for settings in _READ:
        try:
            settings()
        except ValidationError as failure:
            for wrong in failure.errors():
                faults[f"{_name_of(settings, str(wrong['loc'][0]))}: {wrong['msg'].removeprefix('Value error, ')}"] = (
                    None
                )
    if faults:
        raise BadSettingError("; ".join(faults))


def known_settings() -> dict[str, str]:
    """Return the defaults of all settings, by the names that the environment has for them."""
    known = dict.fromkeys(_OF_SDKS, "")
    for settings in _READ:
        for field, info in settings.model_fields.items():
            for name in _names(field, info):
                known.setdefault(name, "" if info.default in (None, PydanticUndefined) else str(info.default))
    return known


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """Describe the variables that look like settings and are none, with the setting that may be meant."""
    known = known_settings()
    found = []
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known and name not in _ELSEWHERE:
            close = get_close_matches(name, known, n=1, cutoff=0.8)
            found.append(f"{name} is no setting, and ignored" + (f"; did you mean {close[0]}?" if close else ""))
    return found


def _name_of(settings: type[GridSettings], location: str) -> str:
    """Name the variable that was read for a field, which pydantic calls by the field or by one of its aliases."""
    for field, info in settings.model_fields.items():
        names = list(_names(field, info))
        if location == field or location in names:
            return next((name for name in names if name in os.environ), names[0])
    return location


def _names(field: str, info: FieldInfo) -> Iterator[str]:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        yield from map(str, alias.choices)
    elif isinstance(alias, str):
        yield alias
    else:
        yield f"{_PREFIX}{field.upper()}"
