"""Which settings name an SQS queue, and how bytes become its messages."""

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.queue.sqs_address import Address, parse
from nanogrid.queue.sqs_wire import body_of, message, size_of
from support.sqs import wire


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("sqs://Tasks-1_x", Address("Tasks-1_x", None, None, 43200)),
        ("sqs://tasks?hold_s=6", Address("tasks", None, None, 6)),
        (
            "sqs:https://sqs.ap-northeast-2.amazonaws.com/123456789012/tasks",
            Address("tasks", "https://sqs.ap-northeast-2.amazonaws.com/123456789012/tasks", "ap-northeast-2", 43200),
        ),
        (
            "sqs:https://vpce-1.sqs.us-gov-west-1.vpce.amazonaws.com/1/tasks?hold_s=60",
            Address("tasks", "https://vpce-1.sqs.us-gov-west-1.vpce.amazonaws.com/1/tasks", "us-gov-west-1", 60),
        ),
        ("sqs:http://127.0.0.1:9324/0/tasks", Address("tasks", "http://127.0.0.1:9324/0/tasks", None, 43200)),
    ],
)
def test_a_queue_is_named_by_its_name_or_its_url(setting: str, address: Address) -> None:
    assert parse(setting) == address


@pytest.mark.parametrize(
    "setting",
    ["sqs:", "sqs://", "sqs://a/b", "sqs:tasks", "sqs:ftp://x/tasks", "sqs:https:///tasks", "sqs://tasks?holds=6"]
    + [f"sqs://tasks?hold_s={text}" for text in ("", "0", "-1", "nan", "43201", "x")],
)
def test_what_names_no_queue_is_refused_with_what_would(setting: str) -> None:
    with pytest.raises(ValueError, match=r"NANOGRID_QUEUE_URL.*sqs://queue-name"):
        parse(setting)


def test_a_fifo_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="standard queue"):
        parse("sqs://tasks.fifo")


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_survive_and_the_service_takes_them(body: bytes) -> None:
    entry = message(body, reason="why")

    wire.check_body(entry["MessageBody"])
    wire.check_attributes(entry["MessageAttributes"])
    assert size_of(entry) == wire.size(entry)
    assert body_of({"Body": entry["MessageBody"], "MessageAttributes": entry["MessageAttributes"]}) == body


@given(st.text())
def test_any_reason_is_one_the_service_takes(reason: str) -> None:
    entry = message(b"x", reason=reason * 100)

    wire.check_attributes(entry["MessageAttributes"])
    assert len(entry["MessageAttributes"]) == bool(reason)


def test_text_stays_readable() -> None:
    assert message('{"text": "안녕"}'.encode()) == {"MessageBody": '{"text": "안녕"}', "MessageAttributes": {}}


def test_the_largest_task_fits_an_older_queue_whatever_it_says() -> None:
    text = "\uffff" + "".join(chr(0x10000 + (n * 7919) % 0xFFFFF) for n in range(192 * 256))

    assert size_of(message(text.encode()[: 192 * 1024])) < 256 * 1024


@pytest.mark.parametrize("text", ["%%", base64.b64encode(b"not zlib").decode(), "안녕"])
def test_what_says_it_is_packed_and_is_not_comes_as_it_is(text: str) -> None:
    packed = {"encoding": {"DataType": "String", "StringValue": "zlib+base64"}}

    assert body_of({"Body": text, "MessageAttributes": packed}) == text.encode()


def test_a_bomb_is_not_unpacked() -> None:
    packed = {"encoding": {"DataType": "String", "StringValue": "zlib+base64"}}
    bomb = base64.b64encode(zlib.compress(b"\0" * 100_000_000)).decode()

    assert body_of({"Body": bomb, "MessageAttributes": packed}) == bomb.encode()
