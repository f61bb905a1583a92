"""The numbers that the README tells are the code's: each sentence is written anew from the constants and looked for."""

import re
from collections.abc import Iterator

import pytest

from gateway.settings import GatewaySettings
from nanogrid import limits
from nanogrid.bundle import BundleLimits
from nanogrid.cli.exits import Exit
from nanogrid.jobs import redis as jobs
from nanogrid.json_text import MAX_DEPTH
from nanogrid.redis import check
from nanogrid.runtimes import RUNTIMES
from services.artifacts.settings import ArtifactsSettings
from services.executor.code.compiler import _KEPT_BYTES as COMPILER_BYTES
from services.executor.code.compiler import BuildLimits
from services.executor.pool.choices import TRIES
from services.executor.run.capture import KEPT_BYTES
from services.executor.run.output_files import OutputLimits
from services.executor.runtime.python.nanogrid_runtime.environment import PAYLOAD_BYTES
from services.executor.sandbox import SandboxSettings
from services.executor.settings import ExecutorSettings
from services.invoker.settings import InvokerSettings
from services.local.settings import LocalGridSettings
from services.registry import uploads
from services.registry.settings import RegistrySettings
from support.readme import ROOT, text_of

HOUR_S = 3600
WORDS = {2: "two", 3: "three"}
GATEWAY, LOCAL, ARTIFACTS = GatewaySettings(), LocalGridSettings(), ArtifactsSettings()
EXECUTOR, SANDBOX, BUNDLE, OUTPUT = ExecutorSettings(), SandboxSettings(ROOT, ""), BundleLimits(), OutputLimits()


def port(address: str) -> str:
    return address.rpartition(":")[2]


def setup_images() -> list[str]:
    """Return the runtimes that `make setup` builds."""
    [images] = re.findall(r"^setup_images=\((.*)\)$", (ROOT / "deploy/local/setup.sh").read_text(), re.MULTILINE)
    by_image = {one.image.removeprefix("nanogrid/").removesuffix("-fat"): name for name, one in RUNTIMES.items()}
    return [by_image[image] for image in images.split()]


def python_packages() -> list[str]:
    conf = (ROOT / "deploy/images/python/3.11.conf").read_text()
    return re.findall(r"pip_packages='(.*)'", conf)[0].split()


def listed(names: list[str], code: str = "") -> str:
    quoted = [f"{code}{name}{code}" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def required_python() -> str:
    return re.findall(r'requires-python = ">=(.*)"', (ROOT / "pyproject.toml").read_text())[0]


def runtimes() -> str:
    """Return the list of runtimes, the Pythons as a range."""
    pythons = [name for name in RUNTIMES if name.startswith("python")]
    return f"`{pythons[0]} … {pythons[-1]}`, {listed([name for name in RUNTIMES if name not in pythons], '`')}"


def of_the_readme() -> Iterator[str]:
    """Yield the README's sentences with numbers."""
    yield f"Linux with Python {required_python()} or newer is enough"
    yield f"runtimes: {' '.join(sorted(setup_images()))}"
    yield f"A synchronous call that takes longer than {GATEWAY.gateway_wait_s:g} s"
    yield f"the same request within {jobs._KEY_S // HOUR_S} hours"
    yield f"Results can be asked for {ARTIFACTS.artifacts_results_days:g} days"
    yield (
        f"leaves with {Exit.OK:d} when all is well, {Exit.FUNCTION_FAILED:d} when the function failed,"
        f" {Exit.USAGE:d} when the arguments or the request were refused,"
        f" {Exit.NOT_FOUND:d} when something is not found, {Exit.AUTH:d} when you are not known or not allowed,"
        f" {Exit.UNAVAILABLE:d} when NanoGrid cannot be reached or asks to try again,"
        f" {Exit.INTERNAL:d} when it is at fault"
    )
    yield f"Jobs that run may go on for {LOCAL.executor_drain_s:g} s"
    yield f"`PAYLOAD` (up to {PAYLOAD_BYTES // 1024} KiB)"
    yield f"In Python, {listed(python_packages())} are there"
    yield f"Runtimes: {runtimes()}, as far as"
    yield f"`make setup` builds {listed(setup_images())};"
    in_images_only = [{"cpp": "C++", "go": "Go"}[name] for name, one in RUNTIMES.items() if not one.executable]
    yield f"{listed(in_images_only)} need Docker"
    yield f"What could not be run after {WORDS[TRIES]} tries is FAILED"
    yield f"the Redis ({check._OLDEST[0]}.{check._OLDEST[1]} or newer)"
    yield f"`grpcurl -plaintext {RegistrySettings().registry_listen} list` works"
    yield (
        f"That is the registry; artifacts has port {port(ARTIFACTS.artifacts_listen)}, the invoker"
        f" {port(InvokerSettings().invoker_listen)}."
    )


def limits_of_the_readme() -> Iterator[str]:
    """Yield the rows of its table of limits."""
    gb, mb = 10**9, 10**6
    assert GATEWAY.gateway_upload_bytes == ARTIFACTS.artifacts_upload_bytes
    yield f"| upload | {GATEWAY.gateway_upload_bytes / gb:g} GB |"
    yield (
        f"| unpacked, entries, ratio (entries over {BUNDLE.ratio_from_bytes / mb:g} MB) |"
        f" {BUNDLE.unpacked_bytes / gb:g} GB, {BUNDLE.entries:,}, {BUNDLE.ratio} |"
    )
    assert {GATEWAY.gateway_payload_bytes, InvokerSettings().invoker_payload_bytes} == {SANDBOX.result_bytes}
    yield f"| payload, result | {SANDBOX.result_bytes / mb:g} MB each |"
    yield f"| nesting of a payload or result | {MAX_DEPTH} levels |"
    yield f"| stdout and stderr in the answer | {KEPT_BYTES / mb:g} MB each |"
    assert OUTPUT.files == SANDBOX.output_files
    yield f"| `/output` | {OUTPUT.size_bytes / gb:g} GB, {OUTPUT.files:,} files |"
    yield f"| `/tmp` | {SANDBOX.tmp_mb} MB |"
    yield f"| time of a call | {limits.DEFAULT_TIMEOUT_S} s | `timeout` of the upload; 0 = no limit |"
    yield (
        f"| memory of a function | {limits.DEFAULT_MEMORY_MB} MB | `memory_mb` of the upload, {limits.MIN_MEMORY_MB} to"
        f" {limits.MAX_MEMORY_MB:,} |"
    )


def of_compiled_functions() -> Iterator[str]:
    """Yield the sentences of the page on C++ and Go."""
    yield f"in `PAYLOAD` (up to {PAYLOAD_BYTES // 1024} KiB)"
    yield (
        f"{EXECUTOR.executor_build_cpus:g} processors, {EXECUTOR.executor_build_memory_mb / 1024:g} GiB of memory,"
        f" {SANDBOX.tmp_mb} MB of `/tmp`, {EXECUTOR.executor_build_timeout_s:g} s, a program of at most"
        f" {BuildLimits().program_bytes // 10**6} MB"
    )
    yield f"(its first {COMPILER_BYTES // 1024} KiB and its last lines)"


SENTENCES = [
    *(("README.md", sentence) for sentence in (*of_the_readme(), *limits_of_the_readme())),
    *(("docs/compiled-functions.md", sentence) for sentence in of_compiled_functions()),
]


def words_of(text: str) -> str:
    """Return a text on one line."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(("page", "sentence"), SENTENCES, ids=lambda part: str(part)[:60])
def test_a_number_is_the_codes(page: str, sentence: str) -> None:
    assert words_of(sentence) in words_of(text_of(page))


def test_keys_of_uploads_and_of_calls_are_remembered_as_long() -> None:
    assert uploads.REMEMBERED_S == jobs._KEY_S


# Numbers that are no limits: examples, statuses of HTTP, names. The table of settings has a test of its own.
BLOCKS = re.compile(r"```.*?```|^\| `[A-Z].*?$|\]\(.*?\)", re.DOTALL | re.MULTILINE)
NEUTRAL = re.compile(
    r"https?://\S+|127\.0\.0\.1|::1|HTTP 200|\(422\)|409 says|is 403 or 415|exit code 0 is|S3|port 0 picks"
    r'|NANOGRID_EXECUTORS=2|`"(?:requested_)?runtime":"python3\.\d+"`'
)


def test_no_other_number_stands_in_the_readme() -> None:
    left = words_of(BLOCKS.sub("", text_of("README.md")))
    for _, sentence in SENTENCES:
        left = left.replace(words_of(sentence), "")

    assert re.findall(r".{0,40}\d.{0,20}", NEUTRAL.sub("", left)) == []
