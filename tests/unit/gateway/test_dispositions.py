"""File names and text fields, as clients spell them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.fields import RequestField, format_header_param_html5, format_header_param_rfc2231

from gateway.rest.dispositions import decode_text, filename_of, parameters_of
from nanogrid.errors import InvalidFieldError

KOREAN = "함수.py"


def named(header: str | bytes) -> str:
    header = header.encode() if isinstance(header, str) else header
    return filename_of(parameters_of(b'form-data; name="file"; ' + header), "file")


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        # Chromium, Firefox, Safari, curl, Node, Postman: as it is, between quotes.
        ('filename="hello.py"', "hello.py"),
        ('filename="함수.py"', KOREAN),
        ('filename="a%22b.py"', 'a"b.py'),
        ('filename="a%0D%0ab.py"', "a\r\nb.py"),
        ('filename="100%.py"', "100%.py"),
        ('filename="%ED%95%A8.py"', "%ED%95%A8.py"),
        ('filename="a;b=c.py"', "a;b=c.py"),
        ('filename="a b.py"', "a b.py"),
        # Internet Explorer, and some others: with the folders of their disk.
        (r'filename="C:\Users\kim\a.py"', "a.py"),
        (r'filename="\\server\share\a.py"', "a.py"),
        ('filename="/home/kim/a.py"', "a.py"),
        ('filename="../../a.py"', "a.py"),
        # Go, and curl before 7.81: escaped.
        (r'filename="a\"b.py"', 'a"b.py'),
        (r'filename="C:\\Users\\a.py"', "a.py"),
        # .NET: without quotes, in an encoded word, and extended, all at once.
        ("filename=hello.py", "hello.py"),
        ("filename=hello world.py", "hello world.py"),
        ("filename=hello.py; filename*=utf-8''hello.py", "hello.py"),
        ('filename="=?utf-8?B?7ZWo7IiYLnB5?="', KOREAN),
        ("filename==?utf-8?B?7ZWo7IiYLnB5?=", KOREAN),
        ("filename=\"=?utf-8?B?7ZWo7IiYLnB5?=\"; filename*=utf-8''%ED%95%A8%EC%88%98.py", KOREAN),
        ("filename*=utf-8''%ED%95%A8%EC%88%98.py; filename=\"=?utf-8?B?xx?=\"", KOREAN),
        # requests, with urllib3 1 and 2.
        ("filename*=utf-8''%ED%95%A8%EC%88%98.py", KOREAN),
        ("filename*=UTF-8'ko'%ED%95%A8%EC%88%98.py", KOREAN),
        # Java's mail libraries: quoted words, words in a row, sections, and charsets of before UTF-8.
        ('filename="=?UTF-8?Q?=ED=95=A8=EC=88=98.py?="', KOREAN),
        ('filename="=?UTF-8?B?7ZWo?= =?UTF-8?B?7IiYLnB5?="', KOREAN),
        ('filename="=?EUC-KR?B?x9S89i5weQ==?="', KOREAN),
        ("filename*=euc-kr''%C7%D4%BC%F6.py", KOREAN),
        ("filename*=ISO-8859-1''caf%E9.py", "café.py"),
        ("filename*0*=utf-8''%ED%95%A8; filename*1*=%EC%88%98; filename*2=.py", KOREAN),
        ('filename*0="hel"; filename*1="lo.py"', "hello.py"),
        # An extended name that cannot be read does not count beside a plain one.
        ("filename=hello.py; filename*=no-such''x.py", "hello.py"),
        ("filename=hello.py; filename*=x.py", "hello.py"),
        ("filename=hello.py; filename*=utf-8''%FF.py", "hello.py"),
        # Spelling.
        ('FileName="hello.py"', "hello.py"),
        ('filename = "hello.py"', "hello.py"),
        ('filename="Hello.PY"', "Hello.py"),
        ('filename="MAIN.CPP"', "MAIN.cpp"),
        ('filename="Code.Zip"', "Code.zip"),
        (f'filename="{unicodedata.normalize("NFD", KOREAN)}"', KOREAN),
        (f'filename="{unicodedata.normalize("NFD", "café.py")}"', "café.py"),
        ("", ""),
        ('filename=""', ""),
        ("filename", ""),
    ],
)
def test_a_name_is_what_its_client_meant(header: str, meant: str):
    assert named(header) == meant


@pytest.mark.parametrize(
    "header",
    [
        b'filename="\xc7\xd4\xbc\xf6.py"',
        b"filename*=utf-8''%FF.py",
        b"filename*=no-such''a.py",
        b"filename*=a.py",
        b'filename="=?utf-8?B?7ZW?="',
        b'filename="=?no-such?B?YQ==?="',
        b'filename="=?utf-8?B?/w==?="',
    ],
)
def test_a_name_that_cannot_be_read_is_refused(header: bytes):
    with pytest.raises(InvalidFieldError) as refused:
        named(header)

    assert refused.value.metadata == {"field": "file"}


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='/\\"?=')).map(
    lambda text: unicodedata.normalize("NFC", text) + ".py"
)


@given(NAMES, st.sampled_from((format_header_param_html5, format_header_param_rfc2231)))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_name_as_requests_sends_it_arrives(name, spell):
    field = RequestField.from_tuples("file", (name, b""), header_formatter=spell)
    header = field.headers["Content-Disposition"].encode()

    assert filename_of(parameters_of(header), "file") == unicodedata.normalize("NFC", name)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_name_or_refused(header: bytes):
    try:
        named(header)
    except InvalidFieldError as refused:
        assert refused.metadata == {"field": "file"}  # noqa: PT017 - or it is not refused


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("함수".encode(), "UTF-8"),
        (b"f", "us-ascii"),
        ("é".encode("latin-1"), "ISO-8859-1"),
        ("함".encode("cp949"), "cp949"),
    ],
)
def test_text_is_read_in_the_charset_that_its_part_says(text: bytes, charset: str):
    assert decode_text(text, charset).encode(charset) == text


@pytest.mark.parametrize("charset", ["no-such", "rot13", "hex", "idna", "punycode", "unicode_escape", "a\0b", "../x"])
def test_what_is_no_charset_is_refused(charset: str):
    with pytest.raises((LookupError, ValueError)):
        decode_text(b"a", charset)
