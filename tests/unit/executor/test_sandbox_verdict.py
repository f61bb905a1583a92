"""How a call's ending is told."""

import pytest

from services.executor.sandbox import CallError, Kind
from services.executor.sandbox.cgroup import Usage
from services.executor.sandbox.frames import Done
from services.executor.sandbox.verdict import Broken, Ending, Exited, Killed, Oversized, TimedOut, judge, judge_init

FINE = Usage(30 << 20, oom_killed=False)
KILLED = Usage(64 << 20, oom_killed=True)
OWN = CallError("HandlerError", "ValueError: no", "stack")


@pytest.mark.parametrize(
    ("ending", "kind", "error_type", "spent"),
    [
        (Done(b"1", None, None), Kind.HANDLER, None, False),
        (Done(b"", OWN, None), Kind.HANDLER, "HandlerError", False),
        (Done(b"", None, 0), Kind.PROGRAM, None, False),
        (Done(b"", None, 3), Kind.PROGRAM, "ExitError", False),
        (Done(b"", None, 0), Kind.HANDLER, "ExitError", False),
        (Exited(0), Kind.HANDLER, "ExitError", True),
        (Exited(None), Kind.HANDLER, "ExitError", True),
        (Killed(), Kind.HANDLER, "Lost", True),
        (Killed(), Kind.PROGRAM, "Lost", True),
        (TimedOut(3), Kind.HANDLER, "Timeout", True),
        (Oversized(9, 8), Kind.HANDLER, "ResultInvalid", True),
        (Broken("junk"), Kind.HANDLER, "HandlerError", True),
    ],
)
def test_every_ending_has_its_verdict(ending: Ending, kind: Kind, error_type: str | None, *, spent: bool) -> None:
    verdict = judge(ending, kind, FINE, 64)

    assert (verdict.error.type if verdict.error else None) == error_type
    assert verdict.spent is spent


@pytest.mark.parametrize("ending", [Exited(137), Killed(), Done(b"", None, 137), Done(b"", OWN, None), Exited(None)])
def test_what_the_oom_killer_ended_is_out_of_memory(ending: Ending) -> None:
    verdict = judge(ending, Kind.HANDLER, KILLED, 64)

    assert verdict.error is not None
    assert verdict.error.type == "OutOfMemory"
    assert "64 MB" in verdict.error.message
    assert verdict.spent


def test_a_success_stays_one_though_a_child_was_killed_for_memory() -> None:
    assert judge(Done(b"1", None, None), Kind.HANDLER, KILLED, 64).error is None


def test_a_timeout_stays_one_though_memory_ran_out_too() -> None:
    verdict = judge(TimedOut(2.5), Kind.HANDLER, KILLED, 64)

    assert verdict.error == CallError("Timeout", "timed out after 2.5 s")


@pytest.mark.parametrize(
    ("code", "signal", "said"),
    [
        (0, 0, "exited with status 0"),
        (137, 0, "exited with status 137"),
        (255, 0, "exited with status 255"),
        (137, 9, "killed by SIGKILL (status 137)"),
        (139, 11, "killed by SIGSEGV (status 139)"),
        (163, 35, "killed by signal 35 (status 163)"),
    ],
)
@pytest.mark.parametrize("kind", list(Kind))
def test_an_exit_and_a_death_by_signal_are_told_apart(kind: Kind, code: int, signal: int, said: str) -> None:
    own, child = Exited(code, signal), Done(b"", None, code or 1, signal)

    for ending in (own, child) if code else (own,):
        error = judge(ending, kind, FINE, 64).error

        assert error is not None
        assert said in error.message


@pytest.mark.parametrize(
    ("code", "said"), [(137, "killed by SIGKILL"), (192, "killed by SIGRTMAX"), (193, "with status 193"), (255, "255")]
)
def test_without_word_of_a_signal_only_what_can_be_one_is_taken_for_one(code: int, said: str) -> None:
    error = judge(Exited(code), Kind.HANDLER, FINE, 64).error

    assert error is not None
    assert said in error.message


def test_loading_that_ends_is_an_init_error() -> None:
    assert judge_init(Exited(3), FINE, 64).type == "InitError"
    assert judge_init(Exited(137), KILLED, 64).type == "OutOfMemory"
    assert judge_init(Killed(), FINE, 64).type == "Lost"
