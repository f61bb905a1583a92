"""What is observed between two deliveries: bounded, and cut as CloudWatch wants it."""

import tracemalloc

import pytest

from services.executor.metrics import open_peaks
from services.executor.metrics.batch import MOST_POINTS, Batch, calls_of
from services.executor.settings import ExecutorSettings


def test_equal_values_are_counted_together() -> None:
    batch = Batch()
    for value in (1, 2, 1, 1):
        batch.add("f", "python3.11", value)
    batch.add("f", "nodejs18.x", 1)

    [python, node] = batch.take()

    assert (python.counts, node.counts) == ({1: 3, 2: 1}, {1: 1})
    assert batch.take() == []


def test_a_datum_has_no_more_values_than_cloudwatch_takes() -> None:
    batch = Batch()
    for value in range(301):
        batch.add("f", "python3.11", value)
    batch.add("f", "python3.11", 300)

    assert [len(datum.counts) for datum in batch.take()] == [150, 150, 1]


def test_the_oldest_is_dropped_and_counted() -> None:
    batch = Batch(most_points=3)
    for name in "aabcd":
        batch.add(name, "python3.11", 5)

    assert [datum.function_id for datum in batch.take()] == ["b", "c", "d"]
    assert batch.dropped == 2


def test_a_function_whose_datum_was_dropped_begins_another() -> None:
    batch = Batch(most_points=2)
    for name in "abca":
        batch.add(name, "python3.11", ord(name))

    assert [(datum.function_id, datum.counts) for datum in batch.take()] == [("c", {99: 1}), ("a", {97: 1})]
    assert batch.dropped == 2


def test_what_is_put_back_is_older_than_what_came_since() -> None:
    batch = Batch(most_points=3)
    batch.add("old", "python3.11", 1)
    batch.add("older", "python3.11", 1)
    taken = batch.take()
    batch.add("new", "python3.11", 1)
    batch.add("new", "python3.11", 2)

    batch.put_back(taken)

    assert [datum.function_id for datum in batch.take()] == ["older", "new"]
    assert batch.dropped == 1


def test_calls_hold_a_thousand_data_and_less_than_a_megabyte() -> None:
    batch = Batch()
    for number in range(2_500):
        batch.add(f"f-{number}", "python3.11", number)
    many = batch.take()
    for value in range(20_000):
        batch.add("f", "python3.11", value)
    large = batch.take()

    assert [len(call) for call in calls_of(many)] == [1000, 1000, 500]
    assert [datum for call in calls_of(large) for datum in call] == large
    assert all(sum(datum.size_bytes for datum in call) < 1_000_000 for call in calls_of(large))
    assert list(calls_of([])) == []


def test_memory_stays_bounded_whatever_comes() -> None:
    batch = Batch()
    tracemalloc.start()
    try:
        for number in range(MOST_POINTS + MOST_POINTS // 2):
            batch.add(f"function-{number}", "python3.11", number)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (batch.points, batch.dropped) == (MOST_POINTS, MOST_POINTS // 2)
    assert peak < 20_000_000


@pytest.mark.parametrize("url", ["statsd:", "cloudwatch://AWS/Lambda", "cloudwatch:// x", "cloudwatch", "http://x"])
async def test_a_url_that_names_no_sink_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(ValueError, match=r"NANOGRID_EXECUTOR_METRICS_URL.*use cloudwatch:"):
        async with open_peaks(url, 60):
            pass


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, ""),
        ({"queue_url": "redis://h:1/0"}, ""),
        ({"queue_url": "sqs://nanogrid-task-queue"}, "cloudwatch:"),
        ({"queue_url": "sqs://nanogrid-task-queue", "executor_metrics_url": ""}, ""),
        ({"executor_metrics_url": "cloudwatch://Mine"}, "cloudwatch://Mine"),
    ],
)
def test_metrics_go_to_cloudwatch_where_the_queue_is_sqs(given: dict[str, str], url: str) -> None:
    assert ExecutorSettings(**given).metrics_url == url
