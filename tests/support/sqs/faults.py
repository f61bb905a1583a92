"""Builds errors as SQS words them. The code of its older protocol is sent in a header, which SDKs prefer."""


class SqsError(Exception):
    """An error answer. `code` is the one that SDKs report, `kind` the one in the JSON body."""

    def __init__(self, code: str, message: str, *, kind: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind or code.rpartition(".")[2]
        self.message = message
        self.status = status

    @property
    def sender(self) -> bool:
        """Return whether the request is at fault, so that a retry is useless."""
        return self.status < 500 and "Thrott" not in self.code


def no_queue() -> SqsError:
    code = "AWS.SimpleQueueService.NonExistentQueue"
    return SqsError(code, "The specified queue does not exist.", kind="QueueDoesNotExist")


def invalid(message: str) -> SqsError:
    return SqsError("InvalidParameterValue", message, kind="InvalidParameterValueException")


def no_receipt(receipt: str) -> SqsError:
    return SqsError("ReceiptHandleIsInvalid", f'The input receipt handle "{receipt}" is not a valid receipt handle.')


def outdated(receipt: str) -> SqsError:
    why = "Message does not exist or is not available for visibility timeout change."
    return invalid(f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: {why}")


def not_in_flight() -> SqsError:
    return SqsError("AWS.SimpleQueueService.MessageNotInflight", "The message referred to isn't in flight.")


def held_too_long(visibility_s: float, hold_s: float) -> SqsError:
    why = f"Total VisibilityTimeout for the message is beyond the limit [{hold_s:g} seconds]"
    return invalid(f"Value {visibility_s:g} for parameter VisibilityTimeout is invalid. Reason: {why}")


def over_limit(most: int) -> SqsError:
    return SqsError("OverLimit", f"Too many messages are in flight: the limit is {most}.", status=403)


def batch(code: str, message: str) -> SqsError:
    return SqsError(f"AWS.SimpleQueueService.{code}", message)


def throttled() -> SqsError:
    return SqsError("ThrottlingException", "Rate exceeded")


def broken() -> SqsError:
    return SqsError("InternalFailure", "The request processing has failed because of an unknown error.", status=500)


def unavailable() -> SqsError:
    return SqsError("ServiceUnavailable", "Service is unavailable.", status=503)
