"""Counting calls to AWS: what a request asks for, what an answer needed, what comes of the counts."""

import http.client
import threading
from collections import Counter

import pytest

from benchmarks import goals, passthrough, report, results
from benchmarks.cloud_calls import by_kind
from benchmarks.goals import BEFORE, BEHIND, DYNAMODB, KINDS, LOADED, OTHERS, OURS, PLACES, PUTS, READS, SENDS, cell
from benchmarks.passthrough import PassThrough, call_of
from support.http_api import http_api


def signed(service):
    return {"authorization": f"AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/{service}/aws4_request, Signature=x"}


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("PUT", "/bucket/results/job-1.json", "PutObject"),
        ("GET", "/bucket/functions/a/code.zip", "GetObject"),
        ("HEAD", "/bucket/key", "HeadObject"),
        ("DELETE", "/bucket/key", "DeleteObject"),
        ("GET", "/bucket?list-type=2&prefix=results%2F", "ListObjectsV2"),
        ("POST", "/bucket?delete", "DeleteObjects"),
        ("PUT", "/bucket/key?partNumber=1&uploadId=x", "PUT partNumber uploadId"),
        ("PUT", "/bucket?versioning", "PUT versioning"),
    ],
)
def test_a_request_to_s3_is_known_by_method_and_path(method, path, action):
    assert call_of(method, path, signed("s3"), b"") == ("s3", action)


def test_other_requests_say_what_they_ask_for():
    target = signed("dynamodb") | {"x-amz-target": "DynamoDB_20120810.GetItem"}

    assert call_of("POST", "/", target, b"{}") == ("dynamodb", "GetItem")
    assert call_of("POST", "/", signed("sts"), b"Action=GetCallerIdentity&Version=1") == ("sts", "GetCallerIdentity")
    assert call_of("GET", "/moto-api/data.json", {}, b"") == ("", "GET")


def test_every_call_is_of_one_kind():
    calls = {
        ("sqs", "SendMessage"): 1,
        ("sqs", "SendMessageBatch"): 2,
        ("s3", "PutObject"): 3,
        ("s3", "GetObject"): 4,
        ("s3", "HeadObject"): 5,
        ("dynamodb", "Query"): 6,
        ("sqs", "ChangeMessageVisibility"): 7,
        ("monitoring", "PutMetricData"): 8,
    }

    found = by_kind(calls)

    assert set(found) == set(KINDS)
    assert sum(found.values()) == sum(calls.values())
    assert (found[SENDS], found[PUTS], found[READS], found[DYNAMODB], found[OTHERS]) == (3, 3, 9, 6, 15)


@pytest.fixture
def server():
    with http_api() as api:
        api.on("GET /bucket/key", 200, {"ok": True})
        api.on("POST /", 200, {"ok": True})
        yield api


@pytest.fixture
def through(server):
    with PassThrough({}, int(server.url.rpartition(":")[2])) as through:
        yield through


def ask(through, method, path, headers):
    link = http.client.HTTPConnection(through.url.removeprefix("http://"), timeout=10)
    try:
        link.request(method, path, b"{}", headers)
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


SEND = ("POST", "/", signed("sqs") | {"x-amz-target": "AmazonSQS.SendMessage"})
GET = ("GET", "/bucket/key", signed("s3"))


def test_what_is_asked_is_passed_on_answered_and_counted(through, server):
    answers = [ask(through, *GET), ask(through, *GET), ask(through, *SEND)]

    assert answers == [(200, b'{"ok": true}')] * 3
    assert through.calls() == Counter({("s3", "GetObject"): 2, ("sqs", "SendMessage"): 1})
    assert [one.path for one in server.asked] == ["/bucket/key", "/bucket/key", "/"]


def test_a_refusal_is_passed_on(through):
    assert ask(through, "GET", "/nowhere", signed("s3"))[0] == 404


def test_what_is_held_goes_on_when_the_block_ends_and_has_not_passed_in_it(through, server):
    getting = threading.Thread(target=ask, args=(through, *GET))

    with through.holding({("sqs", "SendMessage")}) as hold:
        getting.start()
        ask(through, *SEND)
        assert [one.path for one in server.asked] == ["/"]
    getting.join()

    assert hold.passed == Counter({("sqs", "SendMessage"): 1})
    assert through.calls() - hold.passed == Counter({("s3", "GetObject"): 1})


def test_what_is_waited_for_passes_in_the_end_and_counts_as_needed(through, monkeypatch):
    monkeypatch.setattr(passthrough, "_HELD_S", 0.05)

    with through.holding({("sqs", "SendMessage")}) as hold:
        ask(through, *GET)

    assert hold.passed == Counter({("s3", "GetObject"): 1})


@pytest.fixture
def counted():
    """As it should be: a send and a receive before the answer, a put and a deletion behind it."""
    each = {cell(kind, place): [0.0] for kind in KINDS for place in PLACES}
    once = {OURS: 2.0, cell(SENDS, BEFORE): 1.0, cell(goals.RECEIVES, BEFORE): 1.0, cell(PUTS, BEHIND): 1.0}
    shared = {cell(goals.DELETES, BEHIND): 1.0, cell(SENDS, LOADED): 0.5, cell(PUTS, LOADED): 1.0}
    return each | {arm: [value] for arm, value in (once | shared).items()}


def verdict(counted):
    return goals.judge(goals.goal("G13"), results.make({"G13": counted}, {}, {}).figures["G13"])


def test_a_send_and_a_receive_before_the_answer_and_a_put_behind_it_are_as_promised(counted):
    assert verdict(counted) == goals.Verdict(commit=True, moonshot=True)


@pytest.mark.parametrize("kind", [PUTS, READS, DYNAMODB])
def test_one_call_more_before_one_answer_breaks_the_promise(counted, kind):
    counted[cell(kind, BEFORE)] = [0.0, 0.0, 0.1]

    assert verdict(counted).commit is False


def test_the_counts_are_a_table_of_their_own(counted):
    result = results.make({"G13": counted}, {}, {})

    told = report.cloud_calls(result).splitlines()

    assert len(told) == 2 + len(KINDS)
    assert [cell.strip() for cell in told[2].split("|")[1:-1]] == [SENDS, "1", "0", "0.5"]
    assert report.figures(result) == ""
    assert report.cloud_calls(results.make({}, {}, {})) == ""
