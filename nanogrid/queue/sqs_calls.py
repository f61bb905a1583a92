"""The calls to SQS: off the event loop, outages told in our own words, up to ten messages in one."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from nanogrid.aws import client, code_of, translated
from nanogrid.errors import UnavailableError
from nanogrid.logs import logger
from nanogrid.queue import ReceiptLostError
from nanogrid.queue.sqs_wire import Entry

__all__ = ["HeldTooLongError", "SqsCalls", "TooManyHeldError"]

log = logger()

Outcome = Exception | None  # of one entry: None is success

_WORKERS = 10  # threads: up to three that send, three that change, three that delete, and one for the rest
_ANSWER_S = 10.0  # of a call that does not wait for messages
_POLL_S = 30.0  # of one that does, for up to 20 s
_PAUSE_S = 0.2  # before entries that failed alone are tried once more
_OUTDATED = ("ReceiptHandleIsInvalid", "MessageNotInflight")


class HeldTooLongError(ReceiptLostError):
    """The delivery is still ours, but cannot be kept for as long as was asked: its twelve hours end."""


class TooManyHeldError(UnavailableError):
    """So many messages are in flight that SQS hands out no more."""


class SqsCalls:
    """Clients and threads of one process. Polls have a thread of their own and keep no other call waiting."""

    def __init__(self, region: str | None = None) -> None:
        options: dict[str, Any] = {"region_name": region} if region else {}
        self._client: Any = client("sqs", connections=_WORKERS, read_s=_ANSWER_S, **options)
        # A poll that failed is repeated by whoever polls, and should not keep a process that wants to end.
        self._polls: Any = client("sqs", connections=1, read_s=_POLL_S, attempts=1, **options)
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="sqs")
        self._poller = ThreadPoolExecutor(1, thread_name_prefix="sqs-poll")

    async def run(self, method: str, what: str = "the queue", **parameters: Any) -> dict[str, Any]:
        """Call the client's method. UnavailableError when there is no good answer, ReceiptLostError as for extend."""
        call = partial(_call, getattr(self._client, method), what, parameters)
        return await asyncio.get_running_loop().run_in_executor(self._workers, call)

    async def poll(self, **parameters: Any) -> list[dict[str, Any]]:
        """Receive from the queue, one poll at a time. TooManyHeldError besides the errors of `run`."""
        call = partial(_call, self._polls.receive_message, "the queue", parameters)
        answer = await asyncio.get_running_loop().run_in_executor(self._poller, call)
        return list(answer.get("Messages", ()))

    async def send(self, url: str, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Send messages: an outcome for each, or UnavailableError for all."""
        return await self._each("send_message", url, entries)

    async def change(self, url: str, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Change how long messages stay invisible, as `send` does."""
        return await self._each("change_message_visibility", url, entries)

    async def delete(self, url: str, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Delete messages, as `send` does."""
        return await self._each("delete_message", url, entries)

    def close(self) -> None:
        """Let the threads go once they are done."""
        for pool in (self._workers, self._poller):
            pool.shutdown(wait=False)
        for one in (self._client, self._polls):
            one.close()

    async def _each(self, method: str, url: str, entries: Sequence[Entry]) -> Sequence[Outcome]:
        outcomes = await self._once(method, url, entries)
        again = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, UnavailableError)]
        if again:
            await asyncio.sleep(_PAUSE_S)
            second = await self._once(method, url, [entries[number] for number in again])
            for number, outcome in zip(again, second, strict=True):
                outcomes[number] = outcome
        return outcomes

    async def _once(self, method: str, url: str, entries: Sequence[Entry]) -> list[Outcome]:
        if len(entries) == 1:
            return [await self._alone(method, url, entries[0])]
        asked = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        answer = await self.run(f"{method}_batch", QueueUrl=url, Entries=asked)
        outcomes: list[Outcome] = [UnavailableError("the queue did not tell how it went; try again")] * len(entries)
        for done in answer.get("Successful", ()):
            outcomes[int(done["Id"])] = None
        for failed in answer.get("Failed", ()):
            outcomes[int(failed["Id"])] = _told(failed["Code"], failed.get("Message", ""))
        return outcomes

    async def _alone(self, method: str, url: str, entry: Entry) -> Outcome:
        try:
            await self.run(method, QueueUrl=url, **entry)
        except ReceiptLostError as error:
            return error
        return None


def _call(method: Callable[..., dict[str, Any]], what: str, parameters: Entry) -> dict[str, Any]:
    with translated(what):
        try:
            return method(**parameters)
        except ClientError as error:
            meaning = _meaning(code_of(error), str(error.response.get("Error", {}).get("Message", "")))
            if meaning is not None:
                raise meaning from None
            raise


def _told(code: str, message: str) -> Exception:
    """Return the outcome of an entry that failed alone."""
    if (meaning := _meaning(code, message)) is not None:
        return meaning
    log.warning("an entry failed", what="the queue", code=code, detail=message[:200])
    return UnavailableError("the queue does not answer as it should; try again")


def _meaning(code: str, message: str) -> Exception | None:
    """Return the error that concerns the message rather than the service, or None."""
    name = code.rpartition(".")[2].removesuffix("Exception")
    if name == "InvalidParameterValue" and "Total VisibilityTimeout" in message:
        return HeldTooLongError("the queue keeps a message for its receiver no longer than this")
    if name in _OUTDATED or (name == "InvalidParameterValue" and "ReceiptHandle" in message):
        return ReceiptLostError("somebody else may have the message by now")
    if name == "OverLimit":
        return TooManyHeldError("the queue hands out no more messages before some are done; try again")
    return None
