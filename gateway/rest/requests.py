"""Reads the request of POST /run, in either dialect."""

from dataclasses import dataclass

import orjson

from nanogrid.errors import InvalidFieldError, TooLargeError
from nanogrid.suggestions import did_you_mean
from nanogrid.v1.resources_pb2 import Dialect

# Per dialect: the function's id, its name, the payload.
_STANDARD = ("function_id", "function_name", "payload")
_CAMEL = ("functionId", "functionName", "inputData")
# Other platforms' words for them, as `suggestions` compares names.
_OTHER_WORDS = (
    ("id", "function", "fn", "fnid", "funcid", "uuid", "functionuuid"),
    ("name", "fnname", "funcname"),
    ("event", "input", "data", "body", "args", "arguments", "params", "inputs", "kwargs", "payload", "inputdata"),
)
# Looked up once, because a protobuf enum looks its members up in a Python function.
_IS_STANDARD, _IS_CAMEL = Dialect.DIALECT_STANDARD, Dialect.DIALECT_CAMEL
_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no", ""})


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A call of a function by id, or by name if `function_id` is empty. `payload` is JSON text."""

    function_id: str
    function_name: str
    payload: bytes
    dialect: Dialect.ValueType


def read_call(body: dict[str, bytes], payload_limit: int) -> RunRequest:
    """Read a call from the members of a body. The payload stays the exact text of its sender.

    InvalidFieldError for unknown, mixed, missing or mistyped fields, TooLargeError for the payload.
    """
    dialect, names = _dialect(body)
    id_name, name_name, payload_name = names
    function_id, function_name = _text(body, id_name), _text(body, name_name)
    if function_id and function_name:
        raise InvalidFieldError(id_name, f"{id_name} and {name_name} are both there; send one of them")
    if not (function_id or function_name):
        raise InvalidFieldError(
            id_name,
            f"{id_name} is missing; send the id that the upload answered, or the function's name as {name_name}: "
            f'{{"{id_name}": "…", "{payload_name}": {{}}}}',
        )
    payload = body.get(payload_name, b"{}")
    if len(payload) > payload_limit:
        raise TooLargeError(payload_name, limit=payload_limit, actual=len(payload))
    return RunRequest(function_id, function_name, payload, dialect)


def wants_async(header: str) -> bool:
    """Return whether `X-Async` asks not to wait. InvalidFieldError for an unknown word."""
    word = header.strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise InvalidFieldError("X-Async", f"{header[:32]!r} is not known; send true or false")


def _dialect(body: dict[str, bytes]) -> tuple[Dialect.ValueType, tuple[str, str, str]]:
    camel = [name for name in _CAMEL if name in body]
    standard = [name for name in _STANDARD if name in body]
    if camel and standard:
        mixed, both = ", ".join(standard + camel), " or ".join(map(", ".join, (_STANDARD, _CAMEL)))
        raise InvalidFieldError(camel[0], f"{mixed} mix two spellings; use {both}")
    dialect, names = (_IS_CAMEL, _CAMEL) if camel else (_IS_STANDARD, _STANDARD)
    for name in body:
        if name not in names:
            words = {word: ours for ours, theirs in zip(names, _OTHER_WORDS, strict=True) for word in theirs}
            meant = did_you_mean(name, names, words)
            raise InvalidFieldError(
                name[:64], f"{name[:64]!r} is not a field of this call; use {', '.join(names)}{meant}"
            )
    return dialect, names


def _text(body: dict[str, bytes], name: str) -> str:
    value = orjson.loads(body.get(name, b"null"))
    if value is None:
        return ""
    if not isinstance(value, str) or not value:
        raise InvalidFieldError(name, "is not a string with something in it")
    return value
