"""The benchmarks' statistics, order and verdicts; the numbers themselves come from real runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import goals, load, picture, report, results
from benchmarks.arms import Arm, timed
from benchmarks.goals import (
    CELERY_HTTP,
    DOCKER_EXEC,
    DOCKER_RUN,
    FRAMEWORK,
    GOALS,
    OURS,
    OURS_WARM,
    RIE,
    Verdict,
    judge,
)
from benchmarks.http_client import request
from benchmarks.interleave import interleave, percentile, summarise, turned
from benchmarks.profile import Profile
from support.http_api import http_api


def steady(value):
    """An arm that always took so long."""
    return summarise([value])


def test_percentiles_are_samples_by_nearest_rank():
    values = [float(number) for number in range(100, 0, -1)]

    assert [percentile(values, percent) for percent in (50, 90, 99, 100)] == [50.0, 90.0, 99.0, 100.0]
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_leaves_as_many_samples_below_it_as_it_says(values, percent):
    found = percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100


def test_arms_take_turns_and_every_round_begins_with_another():
    order = []

    def arm(name):
        return Arm(name, lambda: [order.append(name) or 1.0])

    values = interleave([arm("a"), arm("b"), arm("c")], rounds=3, warm_ups=0)

    assert "".join(order) == "abcbcacab"
    assert values == {"a": [1.0] * 3, "b": [1.0] * 3, "c": [1.0] * 3}


def test_warm_up_rounds_are_thrown_away():
    given_out = iter(range(100))

    assert interleave([Arm("a", lambda: [next(given_out)])], rounds=2, warm_ups=3) == {"a": [3, 4]}


def test_turning_keeps_everybody():
    arms = [Arm(name, list) for name in "abcd"]

    assert [arm.name for arm in turned(arms, 6)] == ["c", "d", "a", "b"]


def test_every_timed_call_is_prepared_and_checked():
    prepared, checked = iter(range(10)), []

    values = timed(lambda what: what * 10, calls=3, prepare=lambda: next(prepared), check=checked.append)()

    assert checked == [0, 10, 20]
    assert len(values) == 3
    assert all(value >= 0 for value in values)


@pytest.mark.parametrize(
    ("ours", "docker_exec", "rie", "verdict"),
    [
        (1.2, 45.0, 0.5, Verdict(commit=True, moonshot=True)),
        (2.0, 45.0, 0.5, Verdict(commit=True, moonshot=False)),
        (2.6, 45.0, 2.0, Verdict(commit=False, moonshot=False)),  # too slow, however slow the peers
        (1.2, 15.0, 0.5, Verdict(commit=False, moonshot=True)),  # fast, but not beside docker exec
    ],
)
def test_a_goal_is_met_when_all_its_bounds_are(ours, docker_exec, rie, verdict):
    series = {OURS: steady(ours), DOCKER_EXEC: steady(docker_exec), RIE: steady(rie)}

    assert judge(goals.goal("G1"), series) == verdict


def test_without_its_peer_a_goal_is_not_met_but_may_be_missed():
    fast, slow = {OURS: steady(1.0), DOCKER_EXEC: steady(50.0)}, {OURS: steady(9.0), DOCKER_EXEC: steady(500.0)}

    assert judge(goals.goal("G1"), fast) == Verdict(commit=True, moonshot=None)
    assert judge(goals.goal("G1"), slow) == Verdict(commit=False, moonshot=False)


def test_a_ratio_may_be_to_a_sum():
    series = {OURS: steady(150.0), DOCKER_RUN: steady(199.0), OURS_WARM: steady(1.0)}

    [bound] = goals.goal("G4").commit

    assert bound.value(series) == 0.75


@pytest.mark.parametrize(("rate", "met"), [(1000.0, True), (999.0, False)])
def test_throughput_is_to_be_at_least_its_bound(rate, met):
    series = {OURS: steady(rate), FRAMEWORK: steady(2000.0), CELERY_HTTP: steady(300.0)}

    assert judge(goals.goal("G6"), series).commit is met


def test_tails_are_compared_with_our_own_middle():
    series = {OURS: summarise([1.0] * 90 + [4.0] * 10)}

    assert goals.goal("G11").commit[0].value(series) == 4.0
    assert judge(goals.goal("G11"), series) == Verdict(commit=True, moonshot=False)


def test_every_moonshot_of_a_kind_is_harder_than_its_commitment():
    for goal in GOALS:
        for bound in goal.moonshot:
            for easier in goal.commit:
                if (bound.arm, bound.over) == (easier.arm, easier.over):
                    assert bound.limit > easier.limit if bound.at_least else bound.limit < easier.limit, goal.goal_id


@pytest.fixture
def result():
    values = {"G1": {OURS: [1.9], RIE: [0.5], DOCKER_EXEC: [45.0]}, "G3": {OURS: [20.0], DOCKER_RUN: [230.0]}}
    return results.make(values, {CELERY_HTTP: "it is not installed"}, {"gateway": 0.4})


def test_a_result_survives_its_file(result, tmp_path):
    results.write(result, tmp_path / "some" / "result.json")

    assert results.read(tmp_path / "some" / "result.json") == result


def test_a_miss_is_reported_as_a_miss(result):
    assert report.missed(result) == ["G3 (≤ 1/15 of docker run): 1/11.5", "G3 (≤ 15 ms): 20.0"]
    [row] = [line for line in report.summary(result).splitlines() if line.startswith("| G3")]
    assert row.count("missed") == 2


def test_the_page_gets_its_results_and_keeps_the_rest(result, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nThe end.\n")

    report.publish(result, tmp_path / "r.json", page)
    report.publish(result, tmp_path / "r.json", page)

    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith(f"{report.END}\n\nThe end.\n")
    assert "old" not in text
    assert text.count("| G1 ") == 4  # a goal and three arms, once
    assert "celery + Redis (it is not installed)" in text
    assert (tmp_path / "r.svg").read_text().startswith("<svg")
    with pytest.raises(ValueError, match="results: begin"):
        report.replaced("no place for it", "results")


def test_the_page_of_this_project_has_a_place_for_results():
    assert "new" in report.replaced(report.PAGE.read_text(), "new")


def test_the_picture_has_a_bar_for_every_arm(result):
    drawn = picture.draw(result)

    assert drawn.count("<rect") == 1 + 5  # the background and five arms
    assert "celery" not in drawn


def test_a_file_is_named_by_day_and_machine(result):
    machine = result.machine | {"cpus": 2, "cpu": "Intel(R) Xeon(R) Processor @ 2.90GHz"}
    named = results.Result("2026-01-02T03:04:05Z", machine, "", {}, {}, {})

    assert results.default_path(named).name == "2026-01-02-2x-intel-xeon.json"


def test_costs_are_told_per_call_the_largest_first():
    profile = Profile(calls=1000)
    profile.seconds.update({"invoker": 0.25, "gateway": 0.5, "registry": 0.0})

    assert profile.ms_per_call() == {"gateway": 0.5, "invoker": 0.25}


@pytest.fixture
def server():
    with http_api() as api:
        api.on("POST /run", 200, {"ok": True})
        yield api


def address_of(api):
    return api.url.removeprefix("http://")


def packed_for(api):
    return request(address_of(api), "/run", {})


def test_an_open_loop_sends_all_it_was_to_send_even_when_every_client_is_busy(server):
    with load.connections(address_of(server), 1) as clients:
        done = load.open_loop(clients, packed_for(server), per_second=2000, seconds=0.01)

    assert len(done.latencies_ms) == len(server.asked) == 20


def test_a_closed_loop_counts_every_answer(server):
    with load.connections(address_of(server), 4) as clients:
        done = load.closed_loop(clients, packed_for(server), seconds=0.1)

    assert len(done.latencies_ms) == len(server.asked) >= 4
    assert done.per_second == len(done.latencies_ms) / done.seconds


def test_a_burst_is_one_request_of_every_client(server):
    with load.connections(address_of(server), 3) as clients:
        done = load.all_at_once(clients, [packed_for(server)] * 3)

    assert len(done.latencies_ms) == len(server.asked) == 3


def test_a_refusal_is_no_sample(server):
    server.answers["POST /run"] = [(503, {"detail": "down"}, {})]

    with load.connections(address_of(server), 1) as [client], pytest.raises(RuntimeError, match="503"):
        client.call(packed_for(server))
