"""The context that a handler is called with."""

from __future__ import annotations

import os
import time

_NO_LIMIT_MS = 2**31 - 1  # left to a call without a deadline
# Libraries split an ARN at its colons, and expect a region and an account of twelve digits.
_ACCOUNT = "000000000000"
_REGION = "us-east-1"


class Identity:
    """The caller as Amazon Cognito knows it. Here there is none."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class Context:
    """One call. Names and forms are AWS Lambda's where it has them."""

    function_version = "$LATEST"
    client_context = None  # sent by mobile SDKs only
    tenant_id = None

    def __init__(self, header: dict, function: dict) -> None:
        self.job_id = self.aws_request_id = header["job_id"]
        self.function_id = self.function_name = function["function_id"]
        self.memory_limit_mb = self.memory_limit_in_mb = function["memory_mb"]
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _REGION
        self.invoked_function_arn = f"arn:aws:lambda:{region}:{_ACCOUNT}:function:{self.function_name}"
        self.log_group_name = f"/nanogrid/functions/{self.function_name}"
        self.log_stream_name = self.job_id
        self.identity = Identity()
        self._deadline_ms = header.get("deadline_ms")

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the call is cut off."""
        if self._deadline_ms is None:
            return _NO_LIMIT_MS
        return max(0, int(self._deadline_ms - time.time() * 1000))

    def log(self, message: object) -> None:
        """Print a message into the call's log."""
        print(message, end="")
