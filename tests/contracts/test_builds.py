"""Building compiled functions: once per digest, shared by executors, and hostile sources hurt nobody."""

import asyncio
from pathlib import Path

import pytest

from nanogrid.runtimes import Runtime
from services.executor.sandbox import Sandbox
from support.programs import CPP, GO, Builder, Kept, require
from support.sandboxes import Bench
from support.waiting import until

HELLO_CPP = {"main.cpp": '#include <cstdio>\nint main() { puts("\\"hello\\""); }\n'}
HELLO_GO = {"main.go": 'package main\n\nfunc main() { println("hello") }\n'}

# Two to the power of 26 types: a compiler's fork bomb.
ENDLESS_CPP = {
    "main.cpp": """
template <int depth, int number> struct Node {
    Node<depth - 1, 2 * number> left;
    Node<depth - 1, 2 * number + 1> right;
};
template <int number> struct Node<0, number> {};
int main() { return sizeof(Node<26, 0>) == 0; }
"""
}


@pytest.fixture(autouse=True)
def images() -> None:
    require(CPP)
    require(GO)


@pytest.fixture
def builder(docker_bench: Bench, tmp_path: Path) -> Builder:
    return Builder(docker_bench, tmp_path, Kept())


@pytest.fixture
def made(docker_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Sandbox]:
    """The sandboxes made in this test."""
    create, made = docker_bench.provider.create, []

    async def counting(runtime: Runtime) -> Sandbox:
        made.append(await create(runtime))
        return made[-1]

    monkeypatch.setattr(docker_bench.provider, "create", counting)
    return made


@pytest.mark.parametrize(("runtime", "files"), [(CPP, HELLO_CPP), (GO, HELLO_GO)])
async def test_calls_that_come_together_share_one_build_and_another_executor_needs_none(
    docker_bench: Bench, made: list[Sandbox], tmp_path: Path, runtime: Runtime, files: dict[str, str]
) -> None:
    kept = Kept()
    one, other = Builder(docker_bench, tmp_path / "one", kept), Builder(docker_bench, tmp_path / "other", kept)

    async def build() -> bytes:
        async with one.built(runtime, files) as (_, program):
            return program.read_bytes()

    first, *rest = await asyncio.gather(*(build() for _ in range(5)))
    async with other.built(runtime, files) as (_, program):
        elsewhere = program.read_bytes()

    assert {*rest, elsewhere} == {first}
    assert first.startswith(b"\x7fELF")
    assert kept.times == len(made) == 1
    assert made[0].destroyed  # type: ignore[attr-defined]


async def test_the_same_code_makes_the_same_program(docker_bench: Bench, tmp_path: Path) -> None:
    for runtime, files in ((CPP, HELLO_CPP), (GO, HELLO_GO)):
        found = []
        for name in ("a", "b"):
            kept = Kept()
            async with Builder(docker_bench, tmp_path / runtime.name / name, kept).built(runtime, files):
                found += kept.builds.items()

        assert found[0] == found[1]


async def test_a_failed_build_is_not_tried_again_for_a_while(
    docker_bench: Bench, made: list[Sandbox], tmp_path: Path
) -> None:
    builder = Builder(docker_bench, tmp_path, Kept())
    broken = {"main.cpp": "int main() {\n"}

    first, *rest = await asyncio.gather(*(builder.failure(CPP, broken) for _ in range(3)))

    assert rest == [first, first]
    assert len(made) == 1


async def test_a_compile_without_end_is_cut_off(docker_bench: Bench, made: list[Sandbox], tmp_path: Path) -> None:
    builder = Builder(docker_bench, tmp_path, Kept(), timeout_s=1.5)

    error = await builder.failure(CPP, ENDLESS_CPP)

    assert error.message == "the build was cut off after 1.5 s"
    assert made[0].destroyed  # type: ignore[attr-defined]


async def test_a_compile_that_needs_too_much_memory_is_stopped(docker_bench: Bench, tmp_path: Path) -> None:
    builder = Builder(docker_bench, tmp_path, Kept(), memory_mb=128)

    error = await builder.failure(CPP, ENDLESS_CPP)

    assert error.message == "the build ran out of memory; the limit is 128 MB"


async def test_a_program_over_the_limit_is_refused_with_both_numbers(docker_bench: Bench, tmp_path: Path) -> None:
    kept = Kept()
    builder = Builder(docker_bench, tmp_path, kept, program_bytes=100_000)
    large = {"main.cpp": "char data[1 << 20] = {1};\nint main() { return data[0] - 1; }\n"}

    error = await builder.failure(CPP, large)

    assert error.message.endswith("bytes; the limit is 100000 bytes")
    assert kept.builds == {}


async def test_what_a_compiler_says_is_bounded(docker_bench: Bench, tmp_path: Path) -> None:
    noisy = {"main.cpp": "".join(f"#warning {'x' * 100} {number}\n" for number in range(5_000)) + "int main() { no }\n"}

    error = await Builder(docker_bench, tmp_path, Kept()).failure(CPP, noisy)

    assert 60_000 < len(error.stack.encode()) < 70_000
    assert "more bytes]" in error.stack


async def test_a_build_has_no_network_and_reads_nothing_of_the_host(docker_bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "treasure").write_text("treasure")
    snooping = {"main.cpp": f'#include "{tmp_path}/treasure"\n#include "/var/run/docker.sock"\nint main() {{}}\n'}

    error = await Builder(docker_bench, tmp_path, Kept()).failure(CPP, snooping)

    assert "No such file or directory" in error.stack


async def test_a_build_given_up_leaves_nothing_and_the_next_one_builds(
    docker_bench: Bench, made: list[Sandbox], tmp_path: Path
) -> None:
    builder = Builder(docker_bench, tmp_path, Kept())
    given_up = asyncio.create_task(builder.printed(CPP, HELLO_CPP))
    await until(lambda: made)
    given_up.cancel()
    await asyncio.wait([given_up])

    assert given_up.cancelled()
    assert made[0].destroyed  # type: ignore[attr-defined]
    assert await builder.printed(CPP, HELLO_CPP) == '"hello"\n'
