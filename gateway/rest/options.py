"""Reads the options of a function from form fields or JSON into the contract's Function."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import orjson

from nanogrid.errors import InvalidFieldError
from nanogrid.runtimes import SOURCE_SUFFIXES, Runtime, alias_of_suffix
from nanogrid.suggestions import did_you_mean
from nanogrid.v1.resources_pb2 import Function, SandboxMode

_INT32 = 2**31  # range of the contract's integers. The registry checks the allowed ranges
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_MODES = {"reuse": SandboxMode.SANDBOX_MODE_REUSE, "fresh": SandboxMode.SANDBOX_MODE_FRESH}
_ARCHIVE = ".zip"
_SUFFIXES = (*SOURCE_SUFFIXES, _ARCHIVE)

# REST's name: the contract's field and the JSON type.
_FIELDS: dict[str, tuple[str, type]] = {
    "function_name": ("function_name", str),
    "runtime": ("runtime", str),
    "handler": ("handler", str),
    "timeout": ("timeout_s", int),
    "memory_mb": ("memory_mb", int),
    "max_concurrency": ("max_concurrency", int),
    "egress": ("egress", bool),
    "auto_memory": ("auto_memory", bool),
    "env": ("env", dict),
    "mode": ("mode", str),
}
UPLOAD_FIELDS = tuple(_FIELDS)
REGISTER_FIELDS = (*_FIELDS, "function_id", "s3_key")
_REQUIRED = {"function_name": "the name to call it by", "runtime": "for example python3.11"}
_EXAMPLES = {"timeout": "seconds, such as 300", "memory_mb": "MiB, such as 512", "max_concurrency": "a count such as 4"}
_WORDS = {str: "a string", int: "an integer", bool: "true or false", dict: "an object of strings"}


def from_form(fields: Mapping[str, str]) -> Function:
    """Read options from text fields. Empty ones count as missing. InvalidFieldError names the field and the cure."""
    return _function({name: _TEXT[_FIELDS[name][1]](name, text) for name, text in fields.items() if text})


def from_json(body: Mapping[str, Any]) -> Function:
    """Read options, `function_id` and `s3_key` from a JSON object. Null counts as missing. Errors as `from_form`."""
    for name in body:
        if name not in REGISTER_FIELDS:
            meant = did_you_mean(name, REGISTER_FIELDS)
            able = ", ".join(REGISTER_FIELDS)
            raise InvalidFieldError(name[:64], f"{name[:64]!r} is not a field here; use {able}{meant}")
    given = {name: value for name, value in body.items() if value is not None}
    function_id, s3_key = given.pop("function_id", ""), given.pop("s3_key", "")
    _check_type("function_id", function_id, str)
    _check_type("s3_key", s3_key, str)
    function = _function(given)
    if not s3_key:
        raise InvalidFieldError("s3_key", "is missing; say where in the code bucket the zip lies")
    function.function_id, function.s3_key = function_id, s3_key
    return function


def suffix_of(filename: str) -> str:
    """Return the suffix of an uploaded file. InvalidFieldError lists the accepted ones."""
    suffix = PurePosixPath(filename).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InvalidFieldError("file", f"{filename[-64:]!r} is of no kind taken here; send {', '.join(_SUFFIXES)}")
    return suffix


def check_fits(suffix: str, runtime: Runtime) -> None:
    """Raise InvalidFieldError when a single source file does not fit the runtime."""
    if suffix not in (_ARCHIVE, *runtime.suffixes):
        able = ", ".join((*runtime.suffixes, _ARCHIVE))
        other = f", or runtime={alias_of_suffix(suffix)}"
        raise InvalidFieldError("file", f"a {suffix} file does not run on {runtime.name}; send {able}{other}")


def default_handler(runtime: Runtime, filename: str, root_files: Sequence[str]) -> str:
    """Return the default handler of a single file, or of a zip with these files at its root."""
    if PurePosixPath(filename).suffix.lower() == _ARCHIVE:
        return runtime.handler_of_archive(root_files)
    return runtime.handler_of_file(filename)


def _function(given: Mapping[str, Any]) -> Function:
    for name, meaning in _REQUIRED.items():
        if not given.get(name):
            raise InvalidFieldError(name, f"is missing; send {meaning}")
    function = Function()
    for name, value in given.items():
        field, kind = _FIELDS[name]
        _check_type(name, value, kind)
        if name == "env":
            function.env.update(_env(value))
        elif name == "mode":
            function.mode = _mode(value)
        else:
            setattr(function, field, value)
    return function


def _check_type(name: str, value: Any, kind: type) -> None:
    # In Python a bool is an int, in JSON it is not.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidFieldError(name, f"is not {_WORDS[kind]}")
    if isinstance(value, int) and not -_INT32 <= value < _INT32:
        raise InvalidFieldError(name, f"is {value}; that is beyond any limit")


def _env(value: dict[str, Any]) -> dict[str, str]:
    for name, text in value.items():
        if not isinstance(text, str):
            raise InvalidFieldError("env", f"the value of {name[:64]!r} is not a string; write it in quotes")
    return value


def _mode(word: str) -> SandboxMode.ValueType:
    if word not in _MODES:
        raise InvalidFieldError("mode", f"{word[:32]!r} is not known; use reuse or fresh")
    return _MODES[word]


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text.strip()):
        raise InvalidFieldError(name, f"{text[:32]!r} is not an integer; send {_EXAMPLES[name]}")
    return int(text)


def _boolean(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise InvalidFieldError(name, f"{text[:32]!r} is not known; send true or false")
    return word == "true"


def _object(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise InvalidFieldError(name, f'is not a JSON object of strings such as {{"KEY": "value"}}: {error}') from None


_TEXT: dict[type, Callable[[str, str], Any]] = {
    str: lambda _, text: text,
    int: _integer,
    bool: _boolean,
    dict: _object,
}
