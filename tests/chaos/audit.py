"""Compares the records of clients, functions and an observer with the answers of the grid. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from chaos.client import ACCEPTED, ANSWERED, REFUSED, Try
from chaos.journal import EVERYBODY, Fault
from chaos.ledger import Execution

Ending = tuple[str, str]  # status, and the nonce of the result or the type of the error

_SLACK_S = 0.5  # a function outlives its killed owner by less, and clocks are read just before or after
_STARTING_S = 2.0  # an unfinished function outlives its owner by less
_WAKING_S = 5.0  # within this a resumed owner has noticed the loss of its lease
_GIVEN_UP = (("failed", "Lost"), ("failed", "CodeNotFound"))
_OWNER_FAULTS = ("killed", "crashed", "stopped", "flushed")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All records of one run.

    `said`: last answer of GET /status by job. `published`: endings that the observer saw on `result:*`. `kept`: durable
    results. `unfinished`: jobs that the grid lists as such. `left`: messages waiting, held or delayed. `dead`: dead
    letters. `misfortunes`: faults outside the processes, such as requests answered 500.
    """

    tries: Sequence[Try]
    executions: Sequence[Execution]
    said: Mapping[str, Mapping[str, Any]]
    published: Sequence[tuple[str, Ending]] = ()
    kept: Sequence[tuple[str, Ending]] = ()
    unfinished: Sequence[str] = ()
    faults: Sequence[Fault] = ()
    left: int = 0
    dead: int = 0
    misfortunes: int = 0


@dataclass(slots=True)
class Verdict:
    """Counts of one run. `lost` and `duplicated` describe wrong jobs and must be empty."""

    accepted: int = 0
    finished: int = 0
    dead_lettered: int = 0
    in_flight: int = 0
    waiters: int = 0  # sync calls answered with the result
    faults: int = 0
    interrupted: int = 0  # jobs that ran again because their owner died or lost them
    ambiguous: int = 0  # requests that broke or were refused although their job ran
    longest_recovery_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.lost and not self.duplicated

    def line(self) -> str:
        return (
            f"jobs={self.accepted} faults={self.faults} interrupted={self.interrupted} waiters={self.waiters} "
            f"dead-lettered={self.dead_lettered} lost={len(self.lost)} duplicated={len(self.duplicated)} "
            f"longest-recovery={self.longest_recovery_s:.1f}s"
        )


def ending(job: Mapping[str, Any]) -> Ending:
    """Return the part of a finished job that must be the same in all records of it."""
    if job["status"] in ("completed", "SUCCESS"):
        return "completed", str((job.get("result") or {}).get("nonce"))
    return str(job["status"]).lower(), str((job.get("error") or {}).get("type"))


def audit(evidence: Evidence) -> Verdict:
    """Check all records against each other."""
    verdict = Verdict(faults=len(evidence.faults) + evidence.misfortunes)
    accepted = {one.job_id for one in evidence.tries if one.outcome in (ACCEPTED, ANSWERED)}
    verdict.accepted = len(accepted)
    runs: dict[str, list[Execution]] = defaultdict(list)
    for execution in evidence.executions:
        runs[execution.job_id].append(execution)
    for job_id in sorted(accepted | set(runs)):
        _conserved(verdict, evidence, job_id, runs[job_id])
        _run_once(verdict, evidence, job_id, runs[job_id])
    _one_result_each(verdict, evidence)
    _one_job_a_ticket(verdict, evidence)
    _waiters(verdict, evidence)
    for job_id in set(evidence.unfinished) - accepted - set(runs):
        verdict.in_flight += 1
        verdict.lost.append(f"{job_id}: the grid lists it, and never ran it")
    _buried(verdict, evidence)
    if evidence.left:
        verdict.in_flight += evidence.left
        verdict.lost.append(f"{evidence.left} messages are still on the queue")
    verdict.ambiguous = len({job for job in runs if job not in accepted})
    verdict.longest_recovery_s = max(verdict.longest_recovery_s, _longest_silence(evidence))
    return verdict


def _conserved(verdict: Verdict, evidence: Evidence, job_id: str, runs: Sequence[Execution]) -> None:
    """Check that an accepted job is finished or dead-lettered, and that a finished one has really run."""
    job = evidence.said.get(job_id, {"status": "never asked for"})
    status, mark = ending(job)
    if status == "completed":
        verdict.finished += 1
        if not any(run.nonce == mark and run.ended for run in runs):
            verdict.lost.append(f"{job_id}: its result is of no run that ended ({mark})")
    elif (status, mark) in _GIVEN_UP:
        verdict.dead_lettered += 1
    elif status in ("failed", "cancelled"):
        verdict.lost.append(f"{job_id}: {status} with {job.get('error')}")
    else:
        verdict.in_flight += 1
        verdict.lost.append(f"{job_id}: {status}, {len(runs)} runs")


def _buried(verdict: Verdict, evidence: Evidence) -> None:
    """Check that jobs given up have dead letters, except where a process may have died before dead-lettering."""
    deaths = sum(1 for fault in evidence.faults if fault.target.startswith(("executor", "invoker", "redis")))
    if evidence.dead < verdict.dead_lettered - deaths:
        verdict.lost.append(f"{evidence.dead} dead letters for {verdict.dead_lettered} jobs that were given up")


def _run_once(verdict: Verdict, evidence: Evidence, job_id: str, runs: Sequence[Execution]) -> None:
    """Check that a job ran again only if its owner died or was stopped between the two starts."""
    for before, after in pairwise(runs):
        fault = _excuse(evidence.faults, before, after)
        if fault is None:
            verdict.duplicated.append(
                f"{job_id}: ran on {before.owner} at {before.started:.3f} and again on {after.owner} "
                f"{after.started - before.started:.3f} s later, though no owner died"
            )
            continue
        verdict.interrupted += 1
        verdict.longest_recovery_s = max(verdict.longest_recovery_s, after.started - fault.at)


def _excuse(faults: Sequence[Fault], before: Execution, after: Execution) -> Fault | None:
    for fault in faults:
        hit = fault.kind in _OWNER_FAULTS and fault.target in (before.owner, EVERYBODY)
        # A function may record its start just after its owner died, and is stopped before its end.
        slack_s = _SLACK_S if before.ended else _STARTING_S
        if hit and before.started - slack_s <= fault.at <= after.started:
            return fault
        # Or the second owner had the job first, was stopped during the other run, and resumed.
        woke = fault.target == after.owner and fault.until and fault.at <= before.started <= fault.until
        if woke and fault.until <= after.started <= fault.until + _WAKING_S:
            return fault
    return None


def _one_result_each(verdict: Verdict, evidence: Evidence) -> None:
    """Check that all records of a job's end are equal."""
    told: dict[str, set[Ending]] = defaultdict(set)
    for job_id, job in evidence.said.items():
        if job.get("ended_at"):
            told[job_id].add(ending(job))
    for one in evidence.tries:
        if one.outcome == ANSWERED:
            told[one.job_id].add(ending(one.job))
    for job_id, end in (*evidence.published, *evidence.kept):
        told[job_id].add(end)
    verdict.duplicated += [
        f"{job}: ended in {len(ends)} ways {sorted(ends)}" for job, ends in told.items() if len(ends) > 1
    ]


def _one_job_a_ticket(verdict: Verdict, evidence: Evidence) -> None:
    jobs: dict[str, set[str]] = defaultdict(set)
    for one in evidence.executions:
        jobs[one.ticket].add(one.job_id)
    verdict.duplicated += [f"ticket {one}: became {sorted(ids)}" for one, ids in jobs.items() if len(ids) > 1]


def _waiters(verdict: Verdict, evidence: Evidence) -> None:
    """Check that every sync call got its result, not a "later", unless its path was cut."""
    for one in evidence.tries:
        if not one.sync or one.outcome == REFUSED:
            continue
        if one.outcome == ANSWERED:
            verdict.waiters += 1
        elif not _way_was_cut(evidence.faults, one):
            verdict.lost.append(f"{one.job_id or one.ticket}: its waiter got no result ({one.outcome})")


def _way_was_cut(faults: Sequence[Fault], one: Try) -> bool:
    return any(
        fault.target.startswith(("gateway", "invoker")) and one.began - _SLACK_S <= fault.at <= one.ended + _SLACK_S
        for fault in faults
    )


def _longest_silence(evidence: Evidence) -> float:
    """Return the longest time from a fault to the next accepted job, while clients were submitting."""
    accepted = sorted(one.ended for one in evidence.tries if one.outcome in (ACCEPTED, ANSWERED))
    asked = sorted(one.began for one in evidence.tries if one.outcome not in (ACCEPTED, ANSWERED))
    longest = 0.0
    for fault in evidence.faults:
        after = next((at for at in accepted if at >= fault.at), None)
        if after is not None and any(fault.at <= at <= after for at in asked):
            longest = max(longest, after - fault.at)
    return longest
