"""A function that turns on its own runtime hurts nobody but itself."""

from support.sandboxes import Bench


async def test_garbage_on_the_runtimes_socket_fails_the_call_and_nothing_else(bench: Bench) -> None:
    frames = [
        b"\xff" * 64,
        b"\0\0\0\0",
        b"\0\0\0\x05Dabcd",
        b"\0\0\0\x05D\0\0\0\0",
        b"\0\0\0\x07D\0\0\0\x02[]",
        b"\0\0\0\x07D\0\0\0\x02{}{}",
        b"\0\0\0\x03R{}",
        b"\0\0\0\x01",
    ]
    for junk in frames:
        loaded = await bench.load(bench.sources.JUNK)

        called = await loaded.call(list(junk), timeout_s=60)

        assert called.result.error is not None, junk
        assert not called.result.reusable
        await loaded.sandbox.destroy()


async def test_a_function_that_closes_every_descriptor_fails_alone(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.CLOSES_EVERYTHING)

    called = await loaded.call(timeout_s=60)

    assert called.error.type == "ExitError"
    assert not called.result.reusable


async def test_a_sandbox_that_died_idle_says_so(bench: Bench) -> None:
    loaded = await bench.load(bench.sources.DIES_LATER)
    await loaded.call()
    await loaded.sandbox._link.closed.wait()  # type: ignore[attr-defined]

    called = await loaded.call()

    assert called.error.type == "Lost"
    assert not called.result.reusable
