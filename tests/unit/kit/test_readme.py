"""Everything named in the README and the documents exists: commands, options, settings, defaults, paths, files."""

import functools
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from typer.main import get_command

from gateway.app import create_app
from gateway.settings import GatewaySettings
from nanogrid.cli.app import app, hoist
from nanogrid.cli.session import DEFAULT_URL
from services.artifacts.settings import ArtifactsSettings
from services.executor.settings import ExecutorSettings
from services.invoker.settings import InvokerSettings
from services.local.settings import LocalGridSettings
from services.registry.settings import RegistrySettings
from support.readme import PAGES, ROOT, commands, inline_code, text_of

SERVICES = (RegistrySettings, ArtifactsSettings, InvokerSettings, ExecutorSettings, GatewaySettings)
COMMAND = get_command(app)
# Read by something else than settings classes: sandboxes, the SDKs of the clouds, the Makefile.
OTHERS = {
    *("NANOGRID_IO", "NANOGRID_RPC_KEEPALIVE_S"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
}


def names_of(name: str, field: FieldInfo) -> list[str]:
    """Return the environment variables that a field is read from."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)] if alias else [f"NANOGRID_{name.upper()}"]


@functools.cache
def defaults() -> dict[str, list[Any]]:
    """Return the defaults of every setting by variable: the local grid's first, then those of the services."""
    found: dict[str, list[Any]] = {}
    for settings in (LocalGridSettings, *SERVICES):
        for name, field in settings.model_fields.items():
            value = field.get_default(call_default_factory=True)
            for variable in names_of(name, field):
                found.setdefault(variable, []).append(value)
    found |= {str(option.envvar): [option.default] for option in COMMAND.params if option.envvar not in found}  # type: ignore[attr-defined]
    return found | {"NANOGRID_URL": [DEFAULT_URL]}


def expanded(name: str) -> Iterator[str]:
    """Expand braces as a shell does."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    return map("".join, itertools.product(*parts))


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_it_names_is_read(page: str) -> None:
    named = set(itertools.chain(*map(expanded, re.findall(r"NANOGRID_[A-Z_]*(?:[A-Z]|\{[A-Z_,]+\})", text_of(page)))))

    assert named - defaults().keys() - OTHERS == set()


def test_every_setting_of_the_clouds_it_names_is_read() -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", text_of("README.md")))
    inside = {"JOB_ID", "PAYLOAD_FILE", "LD_LIBRARY_PATH", "PYTHONHASHSEED"}  # of a function

    assert named - defaults().keys() - OTHERS - inside == set()


def rows() -> list[tuple[str, str]]:
    """Return settings and the defaults that the README's table says, with the variables of a row apart."""
    found = []
    for left, cell in re.findall(r"^\| (`[A-Z].*?) \| (.*?) \| .* \|$", text_of("README.md"), re.MULTILINE):
        names, cells = re.findall(r"`([A-Z_]+)`", left), cell.split(", ")
        found += zip(names, cells if len(cells) == len(names) else [cell] * len(names), strict=True)
    return found


@pytest.mark.parametrize(("name", "cell"), rows())
def test_the_default_it_tells_is_the_default(name: str, cell: str) -> None:
    local, *others = [shown(value) for value in defaults()[name]]
    told = re.findall(r"`(.+?)`", cell)

    match cell:
        case "on for a local grid, else off":
            assert (local, *others) == ("true", *["false"] * len(others))
        case "4 per CPU, at least 4":
            assert defaults()[name] == [ExecutorSettings().executor_slots]
        case _ if len(told) == 1 or ", on a local grid" in cell:
            assert set(told) == {local, *others} - {""}
        case "one of its own":
            assert defaults()["NANOGRID_REDIS_URL"][0] == defaults()["REDIS_HOST"][0] == ""
        case _:  # words for what is not set
            assert {local, *others} <= {"", "None"}


def shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_table_has_a_default_for_every_kind_of_setting() -> None:
    assert len(rows()) > 20


def test_the_slots_are_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for cpus, slots in ((1, 4), (3, 12)):
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        assert ExecutorSettings().executor_slots == slots


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_every_file_it_points_to_is_there(page: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", (ROOT / page).read_text())

    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", ["SPECIFICATION.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/reliability.md"])
def test_every_path_of_the_sources_it_names_is_there(page: str) -> None:
    named = re.findall(
        r"`((?:nanogrid|services|gateway|tests|protos|deploy|docs)/[\w./*-]+)", (ROOT / page).read_text()
    )

    assert [path for path in named if not any(ROOT.glob(path))] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_it_names_exists(page: str) -> None:
    named = set(re.findall(r"(?:`|\$ |[A-Z]=\S+ )make ([a-z]+)", text_of(page)))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert named - targets == set()


NANOGRID = re.compile(r"(?:\S*=\S* )*(?:\.venv/bin/)?nanogrid (?=[a-z-])")


def nanogrid_commands(page: str) -> list[str]:
    lines = [*commands(page), *inline_code(page)]
    return [line[found.end() :] for line in lines if (found := NANOGRID.match(line))]


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in nanogrid_commands(page)])
def test_the_command_line_takes_what_it_is_told(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = hoist(shlex.split(line, comments=True))
    if "--help" in arguments:
        return

    parse(COMMAND, arguments)


def parse(command: Any, arguments: list[str], parent: Any = None) -> None:
    """Parse a command line without running it. Click's UsageError where it is not taken."""
    is_group = hasattr(command, "commands")
    if is_group and not arguments:
        return
    context = command.make_context(command.name, list(arguments), parent=parent)
    if is_group:
        rest = command.make_parser(context).parse_args(list(arguments))[1]
        _, inner, left = command.resolve_command(context, rest)
        parse(inner, left, context)


@functools.cache
def api() -> FastAPI:
    return create_app(GatewaySettings())


CURL = re.compile(r"curl .*?(http://\S+?:8080)(/[^\s?]*)")


def requests(page: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and body of every request that is written down."""
    for line in commands(page):
        if found := CURL.search(line):
            words = shlex.split(line)
            data = [words[number + 1] for number, word in enumerate(words) if word in ("-d", "-F")]
            body = dict(json.loads(data[0]) if "-d" in words else [one.split("=", 1) for one in data]) if data else {}
            yield "post" if data else "get", found[2], body
    for method, path in re.findall(r"`(GET|POST|DELETE|HEAD) (/[^\s`?]*)", text_of(page)):
        yield method.lower(), path, {}


def operation_of(method: str, path: str) -> dict[str, Any]:
    """Return the description of the route for a path with names or values in it."""
    for template, operations in api().openapi()["paths"].items():
        if method in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return dict(operations[method])
    raise AssertionError(f"{method} {path} is no route")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [request for page in PAGES for request in requests(page)],
    ids=lambda part: str(part)[:40],
)
def test_every_request_it_shows_is_a_route_and_its_fields_are_taken(
    method: str, path: str, body: dict[str, Any]
) -> None:
    operation = operation_of(method, path)

    content = operation.get("requestBody", {}).get("content", {})
    taken = json.dumps([one["schema"] for one in content.values()])
    assert [name for name in body if f'"{name}": {{' not in taken] == []


def test_every_address_of_the_api_is_the_default_one() -> None:
    told = {address for page in PAGES for address in re.findall(r"http://127\.0\.0\.1:80\d+", text_of(page))}

    assert told == {DEFAULT_URL} == {f"http://{GatewaySettings().gateway_listen}"}
