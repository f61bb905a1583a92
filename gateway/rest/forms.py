"""Reads multipart forms while they arrive: collects text fields and passes the file on in pieces."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from gateway.rest.dispositions import charset_of, checked, decode_text, filename_of, parameters_of
from gateway.rest.encodings import read_body
from nanogrid.errors import InvalidFieldError, TooLargeError, UnsupportedMediaTypeError
from nanogrid.suggestions import did_you_mean

FILE_FIELD = "file"
PIECE_BYTES = 512 * 1024  # of the file, per message to artifacts: below the contract's 1 MiB, large enough to be cheap
_FIELD_BYTES = 64 * 1024
_AS_IS = (b"", b"binary", b"8bit", b"7bit")  # forms have no other transfer encoding (RFC 7578, section 4.7)
# Other platforms' words for the fields, as `suggestions` compares names.
_OTHER_WORDS = {
    **dict.fromkeys(("code", "zip", "source", "zipfile", "upload", "content"), FILE_FIELD),
    **dict.fromkeys(("name", "function", "functionid"), "function_name"),
    **dict.fromkeys(("language", "lang", "version"), "runtime"),
    **dict.fromkeys(("entrypoint", "main", "entry"), "handler"),
    **dict.fromkeys(("memory", "ram", "memorysize", "mem"), "memory_mb"),
    **dict.fromkeys(("environment", "envvars", "variables"), "env"),
    **dict.fromkeys(("timeoutms", "timeouts", "timeoutseconds"), "timeout"),
    "concurrency": "max_concurrency",
}
_ENV_BYTES = 128 * 1024  # JSON escapes may double the registry's limit


@dataclass(frozen=True, slots=True)
class _FileBegins:
    filename: str


@dataclass(frozen=True, slots=True)
class _FileData:
    data: bytes


class Form:
    """One form with one file. Call `until_file`, then read `file` to its end, after which `fields` is complete."""

    def __init__(self, request: Request, limit: int, allowed: Sequence[str]) -> None:
        self._request = request
        self._limit = limit
        self._parts = _Parts(_boundary(request), allowed)
        self._events = self._read()
        self.fields = self._parts.fields
        self.filename = ""

    async def until_file(self) -> None:
        """Read up to the file's content. InvalidFieldError when the form has no file."""
        async for event in self._events:
            if isinstance(event, _FileBegins):
                self.filename = event.filename
                return
        raise InvalidFieldError(FILE_FIELD, "file is missing; send the code as a file, in curl -F file=@main.py")

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file in pieces, and read the rest of the form. InvalidFieldError when the file is empty."""
        piece, size = bytearray(), 0
        async for event in self._events:
            if isinstance(event, _FileBegins):
                raise InvalidFieldError(FILE_FIELD, "file is there twice; send one, or put several into a zip")
            piece += event.data
            if len(piece) >= PIECE_BYTES:
                size += len(piece)
                yield bytes(piece)
                piece.clear()
        if not size + len(piece):
            raise InvalidFieldError(FILE_FIELD, "is empty; send the code")
        if piece:
            yield bytes(piece)

    async def _read(self) -> AsyncIterator[_FileBegins | _FileData]:
        async for chunk in read_body(self._request, self._limit):
            for event in self._parts.feed(chunk):
                yield event
        self._parts.check_ended()


class _Parts:
    """Parses bytes into events of the file and into text fields. Holds nothing of the file."""

    def __init__(self, boundary: bytes, allowed: Sequence[str]) -> None:
        self.fields: dict[str, str] = {}
        self._allowed = allowed
        self._events: list[_FileBegins | _FileData] = []
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._charset = "utf-8"
        self._name = ""
        self._is_file = False
        self._text = bytearray()
        self._ended = False
        self._parser = _parser(boundary, self)

    def feed(self, chunk: bytes) -> list[_FileBegins | _FileData]:
        """Return the file events in a chunk of the body. InvalidFieldError for an unacceptable form."""
        self._events = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidFieldError("body", f"is not well-formed multipart/form-data: {error}") from None
        return self._events

    def check_ended(self) -> None:
        """Raise InvalidFieldError when the body ended before the form."""
        if not self._ended:
            raise InvalidFieldError("body", "ends in the middle of the form; its last line is the boundary and `--`")

    def on_part_begin(self) -> None:
        self._headers.clear()
        self._text.clear()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        parameters = parameters_of(self._headers.get(b"content-disposition", b""))
        self._name = checked(parameters.get("name", ""), "body")
        self._is_file = self._name == FILE_FIELD
        if not self._is_file:
            self._check_name()
        self._check_encoding()
        if self._is_file:
            self._events.append(_FileBegins(_filename(parameters)))
        else:
            self._charset = charset_of(self._headers.get(b"content-type", b""))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._events.append(_FileData(data[start:end]))
            return
        self._text += data[start:end]
        limit = _ENV_BYTES if self._name == "env" else _FIELD_BYTES
        if len(self._text) > limit:
            raise TooLargeError(self._name, limit=limit)

    def on_part_end(self) -> None:
        if not self._is_file:
            self.fields[self._name] = _decoded(self._name, bytes(self._text), self._charset)

    def on_end(self) -> None:
        self._ended = True

    def _check_encoding(self) -> None:
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if encoding not in _AS_IS:
            raise InvalidFieldError(
                self._name,
                f"is in Content-Transfer-Encoding {encoding[:32].decode('latin-1')!r}; send its bytes as they are",
            )

    def _check_name(self) -> None:
        if not self._name:
            raise InvalidFieldError("body", "holds a part without a name; name every field of the form")
        if self._name not in self._allowed:
            able = (FILE_FIELD, *self._allowed)
            meant = did_you_mean(self._name, able, _OTHER_WORDS)
            fault = f"{self._name[:64]!r} is not a field of this form; use {', '.join(able)}{meant}"
            raise InvalidFieldError(self._name[:64], fault)
        if self._name in self.fields:
            raise InvalidFieldError(self._name, "is there twice; send it once")


def _parser(boundary: bytes, parts: _Parts) -> MultipartParser:
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_end": parts.on_end,
            },
        )
    except FormParserError as error:
        raise InvalidFieldError("content-type", f"its boundary will not do: {error}") from None


def _boundary(request: Request) -> bytes:
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != b"multipart/form-data":
        raise UnsupportedMediaTypeError(
            "content-type: send the upload as multipart/form-data; curl does so for -F, not for -d"
        )
    if not options.get(b"boundary"):
        raise InvalidFieldError("content-type", "names no boundary; let your HTTP client set this header")
    return options[b"boundary"]


def _filename(parameters: Mapping[str, str]) -> str:
    filename = filename_of(parameters, FILE_FIELD)
    if not filename:
        raise InvalidFieldError(
            FILE_FIELD, "file has no filename, whose ending says what it is; in curl write -F file=@main.py, with the @"
        )
    return filename


def _decoded(field: str, text: bytes, charset: str) -> str:
    try:
        return decode_text(text, charset)
    except UnicodeError:
        raise InvalidFieldError(field, f"is not {charset[:32].upper()}; send text in UTF-8") from None
    except (LookupError, ValueError):
        raise InvalidFieldError(field, f"its charset {charset[:32]!r} is not known; send text in UTF-8") from None
