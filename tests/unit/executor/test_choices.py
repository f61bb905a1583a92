from dataclasses import dataclass

from services.executor.pool.choices import async_room, retry_delay_s, victim, victims, warmest


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

    assert victim([mine, new, old, busy], sparing=[mine]) == old
    assert victim([mine, busy], sparing=[mine]) == mine
    assert victim([busy], sparing=[mine]) is None


def test_victims_are_the_longest_unused_those_to_be_spared_last() -> None:
    spared, old, new, busy = View("mine", 0), View("a", 1), View("b", 2), View("c", 0, is_resting=False)
    slots = [new, spared, busy, old]

    assert victims(slots, 0) == []
    assert victims(slots, 2, sparing=[spared]) == [old, new]
    assert victims(slots, 9, sparing=[spared]) == [old, new, spared]
    assert victims(slots, 9) == [spared, old, new]


def test_tries_are_spaced_out_up_to_a_minute() -> None:
    assert [retry_delay_s(attempt) for attempt in (1, 2, 3, 10)] == [1, 2, 4, 60]


def test_a_quarter_of_the_places_is_kept_for_calls_that_somebody_waits_for() -> None:
    assert [async_room(8, running, sync_active=False) for running in (0, 5, 6, 7)] == [6, 1, 0, 0]
    assert async_room(1, 0, sync_active=False) == 1


def test_while_calls_keep_coming_other_jobs_go_on_one_at_a_time() -> None:
    assert [async_room(8, running, sync_active=True) for running in (0, 1, 6)] == [1, 0, 0]
