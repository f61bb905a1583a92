"""How fast a long queue goes, and what comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import goals, report, results
from benchmarks.backlog import rates
from benchmarks.goals import CELERY_DRAINED, OURS, OURS_DRAINED, OURS_NO_BACKLOG, Verdict, judge
from benchmarks.interleave import summarise


def test_a_steady_drain_has_the_same_rate_in_every_part():
    seen = [(float(second), 1000 - 20 * second) for second in range(51)]

    assert rates(seen, 10) == [20.0] * 10


def test_time_begins_when_the_first_goes():
    seen = [(0.0, 100), (5.0, 100), (6.0, 50), (7.0, 0)]  # the worker took five seconds to start

    assert rates(seen, 2) == [50.0, 50.0]


def test_a_drain_that_becomes_slower_is_seen():
    seen = [(0.0, 100), (1.0, 75), (2.0, 50), (12.0, 25), (22.0, 0)]

    assert rates(seen, 4) == [25.0, 25.0, 2.5, 2.5]


def test_a_part_ends_where_it_was_looked_and_the_last_at_nothing():
    seen = [(0.0, 100), (1.0, 40), (1.5, 39), (2.0, 0)]

    assert rates(seen, 2) == [60.0, 40.0]


def test_a_queue_that_grows_for_a_moment_has_no_rate_of_its_own():
    seen = [(0.0, 100), (1.0, 90), (2.0, 95), (3.0, 50), (4.0, 0)]

    assert rates(seen, 2) == [50 / 3, 50.0]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=50), st.integers(1, 12))
def test_the_parts_together_are_all_that_went(steps, pieces):
    left = sum(steps)
    seen = [(0.0, left)]
    for second, step in enumerate(steps, 1):
        left -= step
        seen.append((float(second), left))

    found = rates(seen, pieces)

    assert 1 <= len(found) <= pieces
    assert all(1 <= rate <= 50 for rate in found)


def series(with_backlog, without, ours, celery):
    values = {OURS: with_backlog, OURS_NO_BACKLOG: without, OURS_DRAINED: ours, CELERY_DRAINED: celery}
    return {arm: summarise([value]) for arm, value in values.items()}


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (series(2.2, 2.0, 3000, 1000), Verdict(commit=True, moonshot=True)),
        (series(2.5, 2.0, 1000, 1000), Verdict(commit=True, moonshot=False)),
        (series(2.7, 2.0, 3000, 1000), Verdict(commit=False, moonshot=False)),  # calls are kept waiting
        (series(2.0, 2.0, 999, 1000), Verdict(commit=False, moonshot=False)),  # the backlog is
    ],
)
def test_a_long_queue_costs_callers_little_and_goes_fast(measured, verdict):
    assert judge(goals.goal("G10"), measured) == verdict


def test_without_celery_the_drain_is_not_judged():
    measured = series(2.0, 2.0, 1000, 1000)
    del measured[CELERY_DRAINED]

    assert judge(goals.goal("G10"), measured) == Verdict(commit=None, moonshot=None)


def test_each_arm_stands_beside_the_one_of_ours_that_is_measured_like_it():
    values = {OURS: [2.2], OURS_NO_BACKLOG: [2.0], OURS_DRAINED: [1500.0], CELERY_DRAINED: [1000.0]}

    told = report.figures(results.make({"G10": values}, {}, {}))

    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in told.splitlines()[2:]]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        (OURS, "ms", ""),
        (OURS_NO_BACKLOG, "ms", "1.10"),
        (OURS_DRAINED, "jobs/s", ""),
        (CELERY_DRAINED, "jobs/s", "1.50"),
    ]
