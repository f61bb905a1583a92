"""Tests of the audit: the problems it must find, and the ones it must excuse."""

from dataclasses import replace
from typing import Any

from chaos.audit import Evidence, audit
from chaos.client import ACCEPTED, ANSWERED, REFUSED, UNKNOWN, Try
from chaos.journal import Fault
from chaos.ledger import Execution

RUN = Execution("job-1", "t-1", "n1", "executor-1", started=10.0, ended=11.0)
DONE = {"status": "completed", "result": {"nonce": "n1"}, "ended_at": "2026-01-01T00:00:00Z"}
PUBLISHED = {"status": "SUCCESS", "result": {"nonce": "n1"}}
SOUND = Evidence(
    tries=[Try("t-1", sync=False, outcome=ACCEPTED, began=9.0, ended=9.1, job_id="job-1")],
    executions=[RUN],
    said={"job-1": DONE},
    published=[("job-1", ("completed", "n1"))],
    kept=[("job-1", ("completed", "n1"))],
)
AGAIN = replace(RUN, nonce="n2", owner="executor-2", started=20.0, ended=21.0)
LATER = {**DONE, "result": {"nonce": "n2"}}
TWICE = replace(
    SOUND,
    executions=[replace(RUN, ended=None), AGAIN],
    said={"job-1": LATER},
    published=[("job-1", ("completed", "n2"))],
    kept=[("job-1", ("completed", "n2"))],
)


def waiter(outcome: str, **what: Any) -> Try:
    return replace(Try("t-1", sync=True, outcome=outcome, began=9.0, ended=12.0, job_id="job-1", job=DONE), **what)


def test_what_ran_once_and_ended_once_is_sound() -> None:
    verdict = audit(SOUND)

    assert verdict.sound
    assert (verdict.accepted, verdict.finished, verdict.in_flight) == (1, 1, 0)


def test_a_job_that_never_ended_is_lost() -> None:
    verdict = audit(replace(SOUND, said={"job-1": {"status": "running"}}))

    assert (verdict.lost, verdict.in_flight) == (["job-1: running, 1 runs"], 1)


def test_a_job_that_nobody_knows_any_more_is_lost() -> None:
    assert audit(replace(SOUND, said={"job-1": {"status": "HTTP 404"}})).lost
    assert audit(replace(SOUND, said={})).lost


def test_a_result_that_nobody_computed_is_a_loss() -> None:
    assert audit(replace(SOUND, executions=[])).lost
    assert audit(replace(SOUND, executions=[replace(RUN, ended=None)])).lost


def test_a_failure_of_a_function_that_cannot_fail_is_a_loss() -> None:
    failed = {"status": "failed", "error": {"type": "Timeout"}, "ended_at": "2026-01-01T00:00:00Z"}

    assert audit(replace(SOUND, said={"job-1": failed}, published=[], kept=[])).lost


def test_a_job_that_was_given_up_is_no_loss_if_its_message_is_among_the_dead() -> None:
    given_up = {"status": "failed", "error": {"type": "Lost"}, "ended_at": "2026-01-01T00:00:00Z"}
    evidence = replace(SOUND, said={"job-1": given_up}, published=[], kept=[], executions=[], dead=1)

    assert (audit(evidence).sound, audit(evidence).dead_lettered) == (True, 1)
    assert audit(replace(evidence, dead=0)).lost


def test_what_is_left_on_the_queue_is_in_flight() -> None:
    verdict = audit(replace(SOUND, left=2))

    assert (verdict.sound, verdict.in_flight) == (False, 2)


def test_a_job_that_the_grid_lists_and_no_client_knows_must_end_too() -> None:
    assert audit(replace(SOUND, unfinished=["job-2"])).lost


def test_a_second_run_is_excused_by_the_death_of_the_first_owner_only() -> None:
    def with_fault(kind: str, target: str, at: float) -> bool:
        return audit(replace(TWICE, faults=[Fault(kind, target, at)])).sound

    assert not audit(TWICE).sound
    assert with_fault("killed", "executor-1", 10.5)
    assert with_fault("stopped", "executor-1", 10.5)
    assert with_fault("flushed", "*", 10.5)
    assert not with_fault("killed", "executor-2", 10.5)
    assert not with_fault("killed", "executor-1", 5.0)
    assert not with_fault("killed", "executor-1", 20.5)
    assert not with_fault("killed", "gateway-1", 10.5)


def test_a_run_that_began_as_its_owner_died_is_excused_only_if_it_never_ended() -> None:
    killed = Fault("killed", "executor-1", at=RUN.started - 1.0)

    assert audit(replace(TWICE, faults=[killed])).sound
    ended = replace(TWICE, executions=[RUN, AGAIN], faults=[killed])
    assert audit(ended).duplicated


def test_a_sleeper_that_owned_the_job_first_may_run_it_when_it_wakes() -> None:
    assert audit(replace(TWICE, faults=[Fault("stopped", "executor-2", 9.0, until=19.0)])).sound
    assert not audit(replace(TWICE, faults=[Fault("stopped", "executor-2", 9.0, until=12.0)])).sound
    assert not audit(replace(TWICE, faults=[Fault("stopped", "executor-2", 15.0, until=19.0)])).sound


def test_recovery_is_from_the_death_to_the_next_run() -> None:
    verdict = audit(replace(TWICE, faults=[Fault("killed", "executor-1", 10.5)]))

    assert (verdict.interrupted, verdict.longest_recovery_s) == (1, 9.5)


def test_two_ends_of_one_job_are_a_duplicate_wherever_they_are_told() -> None:
    other = ("job-1", ("completed", "n2"))

    assert audit(replace(SOUND, published=[*SOUND.published, other])).duplicated
    assert audit(replace(SOUND, kept=[other])).duplicated
    assert audit(replace(SOUND, tries=[*SOUND.tries, waiter(ANSWERED, job=LATER)])).duplicated


def test_one_ticket_is_one_job() -> None:
    executions = [RUN, replace(RUN, job_id="job-2", nonce="n2")]
    said = {"job-1": DONE, "job-2": LATER}

    assert audit(replace(SOUND, executions=executions, said=said)).duplicated == [
        "ticket t-1: became ['job-1', 'job-2']"
    ]


def test_a_waiter_is_answered_with_the_result_unless_its_way_was_cut() -> None:
    answered = replace(SOUND, tries=[waiter(ANSWERED)])
    put_off = replace(SOUND, tries=[waiter(ACCEPTED)])
    broken = replace(SOUND, tries=[*SOUND.tries, waiter(UNKNOWN, job_id="")])
    cut = [Fault("killed", "gateway-2", 10.0)]

    assert (audit(answered).sound, audit(answered).waiters) == (True, 1)
    assert audit(put_off).lost == ["job-1: its waiter got no result (accepted)"]
    assert audit(broken).lost == ["t-1: its waiter got no result (unknown)"]
    assert audit(replace(put_off, faults=cut)).sound
    assert audit(replace(broken, faults=cut)).sound
    assert audit(replace(broken, faults=[Fault("killed", "gateway-2", 20.0)])).lost


def test_what_was_refused_and_ran_all_the_same_must_end_and_is_told() -> None:
    evidence = replace(SOUND, tries=[Try("t-1", sync=False, outcome=REFUSED, began=9.0, ended=9.1)])

    assert (audit(evidence).sound, audit(evidence).ambiguous) == (True, 1)
    assert audit(replace(evidence, said={"job-1": {"status": "pending"}})).lost


def test_silence_after_a_fault_counts_as_recovery_while_somebody_asks() -> None:
    asked = Try("t-2.0", sync=False, outcome=REFUSED, began=12.0, ended=12.1)
    told = Try("t-2.1", sync=False, outcome=ACCEPTED, began=13.9, ended=14.0, job_id="job-1")
    fault = [Fault("killed", "redis", 11.0)]

    assert audit(replace(SOUND, tries=[*SOUND.tries, asked, told], faults=fault)).longest_recovery_s == 3.0
    assert audit(replace(SOUND, tries=[*SOUND.tries, told], faults=fault)).longest_recovery_s == 0.0
