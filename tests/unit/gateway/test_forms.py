"""Multipart forms, however they arrive and whatever they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.rest.forms import Form, _FileBegins, _FileData, _Parts
from gateway.rest.options import UPLOAD_FIELDS
from nanogrid.errors import NanoGridError
from support.rest import by_hand, field_part, file_part


def read(body, cuts=()):
    """What a body holds when it arrives cut at these places: fields, filename, file."""
    parts = _Parts(b"B", UPLOAD_FIELDS)
    places = [0, *sorted(cuts), len(body)]
    events = [event for start, end in pairwise(places) for event in parts.feed(body[start:end])]
    parts.check_ended()
    names = [event.filename for event in events if isinstance(event, _FileBegins)]
    return parts.fields, names, b"".join(event.data for event in events if isinstance(event, _FileData))


BODIES = st.binary(max_size=200).filter(lambda body: b"\r\n--B" not in b"\r\n" + body)


@given(st.data(), BODIES)
def test_a_form_means_the_same_however_it_is_cut(data, code):
    body = by_hand(field_part("function_name", "안녕".encode()), file_part(code), field_part("env", b"{}"))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=10))

    assert read(body, cuts) == ({"function_name": "안녕", "env": "{}"}, ["hello.py"], code)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_refused(body):
    try:
        read(body)
    except NanoGridError as error:
        problem = error.http_status
    else:
        problem = 0

    assert problem in (0, 400, 413)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=30))
def test_any_part_in_the_frame_of_a_form_is_a_field_or_refused(head, body, end):
    try:
        read(by_hand((head, body), (b"Content-Disposition: form-data; " + head, body), end=b"--B" + end))
    except NanoGridError as error:
        problem = error.http_status
    else:
        problem = 0

    assert problem in (0, 400, 413)


async def test_nothing_of_the_file_is_kept():
    code = b"x" * 3_000_000

    async def receive():
        return {"type": "http.request", "body": by_hand(file_part(code)), "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=B")]
    form = Form(Request({"type": "http", "headers": headers}, receive), 10_000_000, UPLOAD_FIELDS)
    await form.until_file()

    assert sum([len(piece) async for piece in form.file()]) == len(code)
    assert not form._parts._text


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (b"a.py", "a.py"),
        (b"C:\\x\\a.py", "a.py"),
        (b"/etc/a.py", "a.py"),
        (b"../../a.py", "a.py"),
        ("함수.py".encode(), "함수.py"),
        (b'a\\"b.py', 'a"b.py'),
    ],
)
def test_of_a_filename_only_its_last_part_counts(sent, meant):
    assert read(by_hand(file_part(filename=sent)))[1] == [meant]
