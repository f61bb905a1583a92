"""A queue message: one job with everything needed to run it and to rebuild its record.

The invoker's own say everything. Those put on the queue by hand, in three shapes, may leave out what the registry
knows, and come out of `decode` without an owner.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid import limits
from nanogrid.defaults import fill_defaults
from nanogrid.ids import canonical_id
from nanogrid.jobs.identity import identify
from nanogrid.jobs.message_fields import Fields, MalformedError
from nanogrid.json_text import JsonError, check_depth, cut_members, read_json
from nanogrid.timestamps import millis, set_millis
from nanogrid.v1.resources_pb2 import Dialect, Function, Job, JobState, SandboxMode

__all__ = ["MalformedError", "Message", "decode", "decode_refused", "encode"]

_INLINE_BYTES = 1_000_000  # of source text in a message: about what the largest queue message holds
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, the latest a Timestamp knows
_MODES, _DIALECTS = max(SandboxMode.values()), max(Dialect.values())

# How older clients spell the fields; a bucket and times in milliseconds are theirs alone.
_CAMEL: Mapping[str, str] = {
    "job_id": "requestId",
    "function_id": "functionId",
    "s3_bucket": "s3Bucket",
    "s3_key": "s3Key",
    "timeout": "timeoutMs",
    "memory_mb": "memoryMb",
}

# What a message says of the function, spelt as we do.
_FUNCTION = (
    *("owner", "function_id", "function_name", "runtime", "handler", "s3_key", "code_sha256", "timeout", "memory_mb"),
    *("env", "mode", "max_concurrency", "egress", "auto_memory"),
)
# Every name that is read; what else a message holds is left alone.
_OTHERS = ("dialect", "created_at", "request_id", "code", "payload_in_artifacts")
_NAMES = frozenset((*_FUNCTION, *_CAMEL, *_CAMEL.values(), *_OTHERS))


@dataclass(frozen=True, slots=True)
class Message:
    """A job to run. `payload` is the event as UTF-8 JSON, its sender's bytes, or b"" where it lies in artifacts.

    Without `job.owner` it was put on the queue by hand: fields that its message leaves out are unset. It names the
    bucket of its code, or holds the source text. Jobs of one `identity` may share a sandbox, see `identify`; it is ""
    until everything is known. `timeout_ms` is set where its sender counts in milliseconds.
    """

    job: Job
    function: Function
    payload: bytes
    payload_elsewhere: bool = False
    inline_code: bytes = b""
    code_bucket: str = ""
    request_id: str = ""  # of the call that made the job, for the logs
    identity: str = ""
    timeout_ms: int | None = None

    @property
    def timeout_s(self) -> float | None:
        """Return the time limit, to the millisecond where its sender gave it so. None = no limit."""
        if self.timeout_ms is not None:
            return self.timeout_ms / 1000 or None
        return float(self.function.timeout_s) or None


def encode(message: Message, *, payload_elsewhere: bool = False) -> bytes:
    """Write the message body (JSON). With `payload_elsewhere` it only says that the payload lies in artifacts."""
    job, function = message.job, message.function
    fields: dict[str, Any] = {
        "job_id": job.job_id,
        "function_id": function.function_id,
        "function_name": function.function_name,
        "owner": job.owner,
        "dialect": job.dialect,
        "created_at": millis(job.created_at),
        "request_id": message.request_id,
        "s3_key": function.s3_key,
        "code_sha256": function.code_sha256,
        "runtime": function.runtime,
        "handler": function.handler,
        "timeout": function.timeout_s,
        "memory_mb": function.memory_mb,
        "env": dict(function.env),
        "mode": function.mode,
        "max_concurrency": function.max_concurrency,
        "egress": function.egress,
        "auto_memory": function.auto_memory,
    }
    if payload_elsewhere:
        fields["payload_in_artifacts"] = True
    else:
        fields["payload"] = orjson.Fragment(message.payload or b"{}")
    return orjson.dumps(fields)


class _Own(msgspec.Struct):
    """A message of the invoker's, read in one go. Any other is read field by field, which names the fault."""

    job_id: Annotated[str, msgspec.Meta(pattern=rf"^(?:{limits.ID.pattern})\Z")]
    created_at: Annotated[int, msgspec.Meta(ge=0, le=_LAST_MS)]
    dialect: Annotated[int, msgspec.Meta(ge=0, le=_DIALECTS)]
    owner: msgspec.Raw
    function_id: msgspec.Raw
    function_name: msgspec.Raw
    runtime: msgspec.Raw
    handler: msgspec.Raw
    s3_key: msgspec.Raw
    code_sha256: msgspec.Raw
    timeout: msgspec.Raw
    memory_mb: msgspec.Raw
    env: msgspec.Raw
    mode: msgspec.Raw
    max_concurrency: msgspec.Raw
    egress: msgspec.Raw
    auto_memory: msgspec.Raw
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    payload_in_artifacts: bool = False
    request_id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    requestId: msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - what only messages put there by hand have
    functionId: msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    code: msgspec.UnsetType = msgspec.UNSET
    s3_bucket: msgspec.UnsetType = msgspec.UNSET


_own = msgspec.json.Decoder(_Own)


def decode(body: bytes) -> Message:
    """Read a message body. MalformedError for anything else. The payload is cut out as its sender wrote it."""
    try:
        own = read_json(_own, body)
        check_depth(payload := bytes(own.payload))
    except JsonError:
        return _by_hand(body)
    function, identity = _known_function(b"[%b]" % b",".join([bytes(getattr(own, name)) for name in _FUNCTION]))
    if not function.owner or not function.runtime or not function.handler or not function.s3_key:
        return _by_hand(body)
    created_at = Timestamp()
    set_millis(created_at, own.created_at)
    return Message(
        job=_job(own.job_id, created_at, function, Dialect.ValueType(own.dialect or Dialect.DIALECT_STANDARD)),
        function=function,
        payload=b"" if own.payload_in_artifacts else payload,
        payload_elsewhere=own.payload_in_artifacts,
        request_id=own.request_id,
        identity=identity,
    )


def _by_hand(body: bytes) -> Message:
    """Read a message field by field: one that was put on the queue by hand, or a malformed one."""
    members = _members(body)
    payload = _payload(members)
    message = {name: _value(name, text) for name, text in members.items() if name in _NAMES}
    is_camel = "requestId" in message or "functionId" in message
    fields = Fields(message, _CAMEL if is_camel else {})
    inline = fields.source("code", _INLINE_BYTES)
    owner = "" if is_camel or inline else fields.text("owner", 128)
    fields.require("job_id", *([] if inline else ["function_id"]))
    if owner:
        fields.require("runtime", "handler", "s3_key")
    function, identity = _known_function(_said(members)) if owner else (_function(fields, owner), "")
    elsewhere = bool(owner) and fields.flag("payload_in_artifacts")
    return Message(
        job=_job(
            fields.identifier("job_id"),
            _created_at(fields),
            function,
            Dialect.DIALECT_CAMEL if is_camel else _dialect(fields),
        ),
        function=function,
        payload=b"" if elsewhere else payload,
        payload_elsewhere=elsewhere,
        inline_code=inline,
        code_bucket=fields.text("s3_bucket", 255),
        request_id=fields.text("request_id", 128),
        identity=identity,
        timeout_ms=fields.timeout_ms() if is_camel else None,
    )


def decode_refused(body: bytes) -> Job | None:
    """Read the job that a malformed message asks for, as far as it can be read; None where it has no id that is one."""
    try:
        members = _members(body)
    except MalformedError:
        return None
    is_camel = "requestId" in members or "functionId" in members
    fields = Fields(dict(_readable(members)), _CAMEL if is_camel else {})
    job = Job(dialect=Dialect.DIALECT_CAMEL if is_camel else Dialect.DIALECT_STANDARD)
    for name, read in (("job_id", fields.identifier), ("function_id", fields.identifier), ("s3_key", fields.key)):
        with suppress(MalformedError):
            setattr(job, name, read(name))
    if not is_camel:
        with suppress(MalformedError):
            job.owner = fields.text("owner", 128)
    return job if job.job_id else None


def _readable(members: Mapping[str, bytes]) -> Iterator[tuple[str, Any]]:
    for name in _NAMES & members.keys():
        with suppress(MalformedError):
            yield name, _value(name, members[name])


def _members(body: bytes) -> dict[str, bytes]:
    try:
        return cut_members(body)
    except JsonError as error:
        raise MalformedError(f"{error.member} {error}".lstrip()) from None


def _payload(members: dict[str, bytes]) -> bytes:
    """Take the payload out of a message's members: `inputData` is its name in the second dialect."""
    payload = members.pop("payload", b"{}")
    is_camel = "requestId" in members or "functionId" in members
    return members.pop("inputData", payload) if is_camel else payload


def _value(name: str, text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedError(f"{name} cannot be read") from None


def _dialect(fields: Fields) -> Dialect.ValueType:
    number = fields.whole("dialect", 0, _DIALECTS) or Dialect.DIALECT_STANDARD
    return Dialect.ValueType(number)


def _said(members: Mapping[str, bytes]) -> bytes:
    return b"[%b]" % b",".join([members.get(name, b"null") for name in _FUNCTION])


@lru_cache(maxsize=256)  # each of at most 70 kB
def _known_function(said: bytes) -> tuple[Function, str]:
    """Read a function and its identity. All its messages say the same: checking costs 17 µs, remembering costs 2."""
    message = dict(zip(_FUNCTION, msgspec.json.decode(said), strict=True))
    function = _function(Fields(message, {}), message["owner"])
    return function, identify(function)


def _function(fields: Fields, owner: str) -> Function:
    timeout_ms = fields.timeout_ms()
    function = Function(
        function_id=canonical_id(fields.identifier("function_id")),
        function_name=fields.text("function_name", limits.MAX_NAME),
        owner=owner,
        runtime=fields.text("runtime", 64),
        handler=fields.handler(),
        s3_key=fields.key("s3_key"),
        code_sha256=fields.sha256("code_sha256"),
        timeout_s=None if timeout_ms is None else -(-timeout_ms // 1000),
        memory_mb=fields.whole("memory_mb", limits.MIN_MEMORY_MB, limits.MAX_MEMORY_MB),
        env=fields.env(),
        mode=SandboxMode.ValueType(fields.whole("mode", 0, _MODES)),
        max_concurrency=fields.whole("max_concurrency", 0, limits.MAX_CONCURRENCY),
        egress=bool(owner) and fields.flag("egress"),  # by hand nothing is opened that its owner has not
        auto_memory=fields.flag("auto_memory"),
    )
    return fill_defaults(function) if owner else function


def _created_at(fields: Fields) -> Timestamp:
    created_at = Timestamp()
    set_millis(created_at, fields.whole("created_at", 0, _LAST_MS))
    return created_at


def _job(job_id: str, created_at: Timestamp, function: Function, dialect: Dialect.ValueType) -> Job:
    return Job(
        job_id=job_id,
        function_id=function.function_id,
        owner=function.owner,
        state=JobState.JOB_STATE_PENDING,
        dialect=dialect,
        runtime=function.runtime,
        memory_mb=function.memory_mb,
        created_at=created_at,
        s3_key=function.s3_key,
        code_sha256=function.code_sha256,
    )
