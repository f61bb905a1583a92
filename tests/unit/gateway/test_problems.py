"""Errors as problem+json."""

import inspect

import orjson
import pytest
from starlette.exceptions import HTTPException

from gateway.rest import problems
from nanogrid import errors
from nanogrid.errors import InternalError, InvalidFieldError, NanoGridError, TooLargeError, UnavailableError

OURS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, NanoGridError)]


def told(error, path="/run"):
    answer = problems.response(error, path)
    return answer, orjson.loads(answer.body)


@pytest.mark.parametrize("kind", OURS)
def test_every_error_of_the_table_becomes_its_status(kind):
    error = kind.__new__(kind)
    NanoGridError.__init__(error, "what and why", extra="1")

    answer, body = told(error)

    assert answer.status_code == body["status"] == kind.http_status
    assert answer.media_type == "application/problem+json"
    assert (body["reason"], body["code"], body["retryable"]) == (kind.reason, kind.code, kind.retryable)
    assert (body["detail"], body["extra"]) == ("what and why", "1")
    assert body["type"].startswith("urn:nanogrid:problem:")
    assert body["title"]


def test_both_numbers_are_numbers():
    _, body = told(TooLargeError("payload", limit=10, actual=11))

    assert (body["limit"], body["actual"], body["field"]) == (10, 11, "payload")


def test_a_size_only_known_to_be_too_much_is_said_so():
    _, body = told(TooLargeError("body", limit=10))

    assert (body["limit"], body["actual"]) == (10, "over 10")


@pytest.mark.parametrize(
    ("contract", "rest"),
    [("timeout_s", "timeout"), ("page_size", "limit"), ("page_token", "cursor"), ("filename", "file"), ("env", "env")],
)
def test_fields_are_named_as_rest_names_them(contract, rest):
    _, body = told(InvalidFieldError(contract, "is wrong"))

    assert (body["field"], body["detail"]) == (rest, f"{rest}: is wrong")


def test_what_travels_with_an_error_cannot_change_what_it_is():
    _, body = told(NanoGridError("detail", status="200", reason="FINE", retryable="true"))

    assert (body["status"], body["reason"], body["retryable"]) == (500, "INTERNAL", False)


@pytest.mark.parametrize("error", [ValueError("password=hunter2"), KeyError("x"), InternalError("safe to tell")])
def test_what_is_not_ours_to_tell_is_a_500_without_text(error):
    answer, body = told(error)

    assert (answer.status_code, body["reason"]) == (500, "INTERNAL")
    assert b"hunter2" not in answer.body


def test_retryable_errors_say_when():
    assert told(UnavailableError("down"))[0].headers["retry-after"]


@pytest.mark.parametrize(("status", "reason"), [(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED")])
def test_what_the_router_refuses_is_a_problem_too(status, reason):
    answer, body = told(HTTPException(status, headers={"allow": "GET"}), "/x\u202e")

    assert (answer.status_code, body["reason"], body["status"]) == (status, reason, status)
    assert answer.headers["allow"] == "GET"
