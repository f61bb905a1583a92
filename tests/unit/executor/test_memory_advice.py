from hypothesis import given
from hypothesis import strategies as st

from services.executor.run.memory_advice import NO_ADVICE, MemoryAdvisor, advise, own_peak

MIB = 1024 * 1024


def test_an_oversized_function_is_told_what_would_do_and_what_that_saves() -> None:
    advice = advise([40 * MIB, 43 * MIB], 512)

    assert (advice.recommended_memory_mb, advice.saving_percent, advice.calls) == (64, 88, 2)
    assert advice.tip == "memory peaked at 43 MiB of 512 MiB over 2 calls; 64 MiB would do and save 88 %"


def test_a_function_close_to_its_limit_is_told_to_raise_it() -> None:
    advice = advise([125 * MIB], 128)

    assert (advice.recommended_memory_mb, advice.saving_percent) == (160, 0)
    assert "close to the limit" in advice.tip


def test_a_fitting_limit_is_confirmed() -> None:
    assert advise([100 * MIB], 128).recommended_memory_mb == 128


def test_nothing_measured_gives_no_advice() -> None:
    tuner = MemoryAdvisor()

    assert tuner.learn("f", 512, 0) == NO_ADVICE


def test_functions_are_advised_apart_and_from_all_their_calls() -> None:
    tuner = MemoryAdvisor()
    tuner.learn("big", 512, 300 * MIB)

    assert tuner.learn("small", 512, 10 * MIB).recommended_memory_mb == 64
    again = tuner.learn("big", 512, 10 * MIB)
    assert (again.recommended_memory_mb, again.calls) == (384, 2)


@given(st.lists(st.integers(1, 10_240 * MIB), min_size=1), st.integers(64, 10_240))
def test_advice_never_goes_below_what_was_seen_nor_outside_what_may_be_set(peaks: list[int], memory_mb: int) -> None:
    advice = advise(peaks, memory_mb)

    assert 64 <= advice.recommended_memory_mb <= 10_240
    assert advice.recommended_memory_mb * MIB >= min(max(peaks), memory_mb * MIB)
    assert 0 <= advice.saving_percent < 100


def test_the_runtimes_own_share_is_said_apart() -> None:
    advice = advise([50 * MIB], 512, runtime_bytes=7 * MIB)

    assert advice.tip.startswith("memory peaked at 43 MiB + 7 MiB for the runtime of 512 MiB over 1 call;")


def test_automatic_memory_waits_until_it_is_sure() -> None:
    tuner = MemoryAdvisor()
    for _ in range(9):
        tuner.learn("f", 512, 40 * MIB)
    assert tuner.limit_mb("f", 512) == 512

    tuner.learn("f", 512, 40 * MIB)

    assert tuner.limit_mb("f", 512) == 64
    assert tuner.limit_mb("unknown", 512) == 512


def test_automatic_memory_never_exceeds_the_setting() -> None:
    tuner = MemoryAdvisor()
    for _ in range(20):
        tuner.learn("f", 128, 127 * MIB)

    assert tuner.limit_mb("f", 128) == 128


def test_after_running_out_the_setting_is_left_alone_for_a_while() -> None:
    tuner = MemoryAdvisor()
    for _ in range(20):
        tuner.learn("f", 512, 40 * MIB)

    tuner.ran_out("f")

    for _ in range(99):
        tuner.learn("f", 512, 40 * MIB)
        assert tuner.limit_mb("f", 512) == 512
    tuner.learn("f", 512, 40 * MIB)
    assert tuner.limit_mb("f", 512) == 64


def test_a_measured_peak_is_never_nothing_and_one_that_was_not_measured_always_is() -> None:
    assert own_peak(50 * MIB, 6 * MIB) == 44 * MIB
    assert own_peak(6 * MIB, 6 * MIB) == own_peak(1, 6 * MIB) == 4096
    assert own_peak(0, 6 * MIB) == 0
