from dataclasses import dataclass

from services.executor.decisions import may_grow, retry_delay_s, victim, warmest


@dataclass(frozen=True)
class View:
    function_id: str
    used_at: float
    is_resting: bool = True


def test_the_last_used_resting_slot_serves() -> None:
    slots = [View("f", 1), View("f", 3, is_resting=False), View("f", 2)]

    assert warmest(slots) == View("f", 2)
    assert warmest([slots[1]]) is None


def test_the_longest_unused_slot_of_another_function_goes_first() -> None:
    mine, old, new, busy = View("mine", 0), View("a", 1), View("b", 2), View("c", 0, is_resting=False)

    assert victim([mine, new, old, busy], sparing="mine") == old
    assert victim([mine, busy], sparing="mine") == mine
    assert victim([busy], sparing="mine") is None


def test_a_function_grows_to_its_concurrency_and_no_further() -> None:
    assert may_grow(1000, 0)
    assert may_grow(1, 2)
    assert not may_grow(2, 2)


def test_tries_are_spaced_out_up_to_a_minute() -> None:
    assert [retry_delay_s(attempt) for attempt in (1, 2, 3, 10)] == [1, 2, 4, 60]
