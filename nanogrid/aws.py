"""Opens AWS clients with boto3's conventions and bounded waits, and maps their failures to NanoGrid's errors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.loaders import Loader, create_loader

from nanogrid.errors import UnavailableError
from nanogrid.logs import logger

__all__ = ["client", "code_of", "session", "translated", "was_retried"]

log = logger()

_CONNECT_S = 3.0  # within a region, connecting takes milliseconds
_ATTEMPTS = 3  # with random waits between them, 3 s in all at most; the caller's own retries come on top

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, NoAuthTokenError)
_REFUSED = {
    "403",  # the only code in the answer to a HEAD
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_MISSING = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchBucket",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
}


def session() -> boto3.session.Session:
    """Return a session with boto3's conventions, which also reads AWS_REGION, as other SDKs do.

    ValueError when no region is configured.
    """
    core = botocore.session.Session()
    core.register_component("data_loader", _loader())
    region = os.environ.get("AWS_REGION") or core.get_config_variable("region")
    if not region:
        raise ValueError("AWS_REGION: is not set, and AWS cannot be reached without; use for example ap-northeast-2")
    return boto3.session.Session(region_name=region, botocore_session=core)


@cache
def _loader() -> Loader:
    """Return the loader that caches the descriptions of services, which take 0.1 s each to read."""
    return create_loader()


def client(service: str, *, connections: int, read_s: float = 30.0, attempts: int = _ATTEMPTS, **options: Any) -> Any:
    """Return a thread-safe client with up to `connections` calls at a time. Blocks: creating it reads files.

    `read_s` is the longest wait for the next bytes of an answer, `attempts` the number of tries of one call.
    `options` go to botocore's Config.
    """
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        tcp_keepalive=True,
        user_agent_extra="nanogrid",
        **options,
    )
    return session().client(service, config=config)  # type: ignore[call-overload]  # the stubs want a literal name


def code_of(error: ClientError) -> str:
    """Return the code of an AWS error, or "" when it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def was_retried(error: ClientError) -> bool:
    """Return whether an earlier attempt of the same call may have succeeded and only its answer was lost."""
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts"))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn a failure of AWS, or of the connection to it, into UnavailableError. The cure is logged, secrets never."""
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        asked = error.response.get("ResponseMetadata", {}).get("RequestId", "")
        _tell(what, code, operation=error.operation_name, aws_request_id=asked)
        raise UnavailableError(f"{what} {_said(code)}; try again") from None  # the cause may contain signed requests
    except _NO_CREDENTIALS as error:
        _tell(what, "AccessDenied", error=type(error).__name__)
        raise UnavailableError(f"{what} {_said('AccessDenied')}; try again") from None
    except BotoCoreError as error:
        _tell(what, "", error=type(error).__name__, detail=str(error)[:200])
        raise UnavailableError(f"{what} does not answer; try again") from None


def _tell(what: str, code: str, **details: str) -> None:
    log.error("aws failed", what=what, code=code, cure=_cure(code), **details)  # a stack would only show the SDK


def _said(code: str) -> str:
    if code in _REFUSED:
        return "refuses the grid's credentials (the cure is in the service's log)"
    if code in _MISSING:
        return "does not exist (the cure is in the service's log)"
    return "does not answer as it should"


def _cure(code: str) -> str:
    if code in _REFUSED:
        return (
            "give the machine an instance role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
            "docs/aws.md lists the actions the service needs; its clock must be right too"
        )
    if code in _MISSING:
        return "check the name and AWS_REGION, or create it with deploy/aws/create.py"
    return "AWS had a fault, throttles, or cannot be reached from here: it was tried several times"
