"""Implements the actions of SQS's JSON protocol, as in its API reference, one method each."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from support.sqs import faults, wire
from support.sqs.mischief import Mischief
from support.sqs.shelf import Message, Shelf

ACCOUNT = "000000000000"
REGION = "ap-northeast-2"
_BATCH = 10  # maximum number of entries
_DEFAULTS = {
    "VisibilityTimeout": "30",
    "DelaySeconds": "0",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "MaximumMessageSize": "1048576",
}
_MOST_DELAY_S = 900
_MOST_VISIBILITY_S = 43200

Json = dict[str, Any]


class Cloud:
    """All queues of one account, in memory."""

    def __init__(self, mischief: Mischief, hold_s: float = _MOST_VISIBILITY_S, most_in_flight: int = 120_000) -> None:
        self.mischief = mischief
        self.calls: Counter[str] = Counter()  # requests by action, refused ones too
        self.entries: Counter[str] = Counter()  # messages in these requests
        self.shelves: dict[str, Shelf] = {}
        self.down: set[str] = set()  # actions that answer 503 for now
        self._hold_s = hold_s
        self._most_in_flight = most_in_flight

    def reset(self) -> None:
        """Delete all queues and counts."""
        self.shelves.clear()
        self.calls.clear()
        self.entries.clear()
        self.mischief.struck.clear()

    async def answer(self, action: str, request: Json, origin: str) -> Json:
        """Answer one request. `origin` is this server's URL for the caller, and begins queue URLs."""
        self.calls[action] += 1
        self._refuse(action)
        if action == "ReceiveMessage":
            return await self._receive(request)
        if action in _ABOUT_QUEUES:
            return _ABOUT_QUEUES[action](self, request, origin)
        if action in _ABOUT_ONE:
            self.entries[action] += 1
            return _ABOUT_ONE[action](self, self._shelf(request), request)
        if action.endswith("Batch") and action.removesuffix("Batch") in _ABOUT_ONE:
            return self._batch(action, request)
        raise faults.SqsError("InvalidAction", f"The action {action} is not valid for this endpoint.")

    def _refuse(self, action: str) -> None:
        number = self.calls[action]
        if action in self.down:
            raise faults.unavailable()
        if self.mischief.strikes("throttle", action, number):
            raise faults.throttled()
        if self.mischief.strikes("errors", action, number):
            raise faults.broken() if number % 2 else faults.unavailable()

    def _shelf(self, request: Json) -> Shelf:
        shelf = self.shelves.get(str(request.get("QueueUrl", "")).rpartition("/")[2])
        if shelf is None:
            raise faults.no_queue()
        return shelf

    # queues

    def _create(self, request: Json, origin: str) -> Json:
        name = request["QueueName"]
        if not re.fullmatch(r"[\w-]{1,80}", name, re.ASCII):
            raise faults.invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
        given = request.get("Attributes", {})
        if name not in self.shelves:
            self.shelves[name] = Shelf(name, self.mischief, self._hold_s, self._most_in_flight)
            self._configure(self.shelves[name], _DEFAULTS | given)
        elif any(self.shelves[name].attributes.get(key) != value for key, value in given.items()):
            why = "A queue already exists with the same name and a different value for an attribute."
            raise faults.SqsError("QueueAlreadyExists", why, kind="QueueNameExists")
        return {"QueueUrl": f"{origin}/{ACCOUNT}/{name}"}

    def _configure(self, shelf: Shelf, attributes: dict[str, str]) -> None:
        if "RedrivePolicy" in attributes:
            policy = json.loads(attributes["RedrivePolicy"] or "{}")
            target = str(policy.get("deadLetterTargetArn", "")).rpartition(":")[2]
            if policy and target not in self.shelves:
                raise faults.invalid(f"Value {policy} for parameter RedrivePolicy is invalid. Reason: no such queue.")
            shelf.dead = self.shelves.get(target)
            shelf.most_receives = int(policy.get("maxReceiveCount", 0))
        shelf.attributes |= attributes

    def _url(self, request: Json, origin: str) -> Json:
        if request["QueueName"] not in self.shelves:
            raise faults.no_queue()
        return {"QueueUrl": f"{origin}/{ACCOUNT}/{request['QueueName']}"}

    def _list(self, request: Json, origin: str) -> Json:
        prefix = request.get("QueueNamePrefix", "")
        return {"QueueUrls": [f"{origin}/{ACCOUNT}/{name}" for name in sorted(self.shelves) if name.startswith(prefix)]}

    def _attributes(self, request: Json, _origin: str) -> Json:
        shelf = self._shelf(request)
        shelf.ripen()
        known = shelf.attributes | {
            "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{shelf.name}",
            "ApproximateNumberOfMessages": str(shelf.counts["waiting"]),
            "ApproximateNumberOfMessagesNotVisible": str(shelf.counts["held"]),
            "ApproximateNumberOfMessagesDelayed": str(shelf.counts["delayed"]),
        }
        asked = request.get("AttributeNames", [])
        return {"Attributes": {name: value for name, value in known.items() if "All" in asked or name in asked}}

    def _set(self, request: Json, _origin: str) -> Json:
        self._configure(self._shelf(request), request.get("Attributes", {}))
        return {}

    def _purge(self, request: Json, _origin: str) -> Json:
        self._shelf(request).clear()
        return {}

    # messages

    async def _receive(self, request: Json) -> Json:
        shelf = self._shelf(request)
        visibility_s = request.get("VisibilityTimeout", int(shelf.attributes["VisibilityTimeout"]))
        wait_s = request.get("WaitTimeSeconds", int(shelf.attributes["ReceiveMessageWaitTimeSeconds"]))
        count = request.get("MaxNumberOfMessages", 1)
        if not (1 <= count <= _BATCH and 0 <= wait_s <= 20 and 0 <= visibility_s <= _MOST_VISIBILITY_S):
            raise faults.invalid("A number of the request is out of range.")
        deadline = shelf.clock() + wait_s
        while not (taken := shelf.take(count, visibility_s, waits=wait_s > 0)):
            left_s = deadline - shelf.clock()
            if left_s <= 0:
                return {}
            await shelf.changed(left_s)
        self.entries["ReceiveMessage"] += len(taken)
        return {"Messages": [_described(message, request) for message in taken]}

    def _send(self, shelf: Shelf, request: Json) -> Json:
        body, attributes = request["MessageBody"], request.get("MessageAttributes", {})
        delay_s = request.get("DelaySeconds", int(shelf.attributes["DelaySeconds"]))
        wire.check_body(body)
        wire.check_attributes(attributes)
        if not 0 <= delay_s <= _MOST_DELAY_S:
            raise faults.invalid(f"Value {delay_s} for parameter DelaySeconds is invalid.")
        most = int(shelf.attributes["MaximumMessageSize"])
        if wire.size(request) > most:
            raise faults.invalid(
                f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
            )
        message_id = str(uuid.uuid4())
        shelf.put(message_id, body, attributes, delay_s)
        answer = {"MessageId": message_id, "MD5OfMessageBody": wire.md5(body)}
        return answer | ({"MD5OfMessageAttributes": wire.attributes_md5(attributes)} if attributes else {})

    def _delete(self, shelf: Shelf, request: Json) -> Json:
        shelf.delete(request["ReceiptHandle"])
        return {}

    def _change(self, shelf: Shelf, request: Json) -> Json:
        visibility_s = request.get("VisibilityTimeout", -1)
        if not 0 <= visibility_s <= _MOST_VISIBILITY_S:
            raise faults.invalid(f"Value {visibility_s} for parameter VisibilityTimeout is invalid.")
        shelf.change(request["ReceiptHandle"], visibility_s)
        return {}

    def _batch(self, action: str, request: Json) -> Json:
        shelf, entries = self._shelf(request), request.get("Entries", [])
        _check_batch(action, entries)
        act = _ABOUT_ONE[action.removesuffix("Batch")]
        answer: Json = {"Successful": [], "Failed": []}
        for entry in entries:
            self.entries[action] += 1
            try:
                if self.mischief.strikes("batch_faults", action, self.entries[action]):
                    raise faults.broken()
                answer["Successful"].append({"Id": entry["Id"]} | act(self, shelf, entry))
            except faults.SqsError as fault:
                why = {"Code": fault.code, "Message": fault.message, "SenderFault": fault.sender}
                answer["Failed"].append({"Id": entry["Id"]} | why)
        return answer


_ABOUT_QUEUES: dict[str, Callable[[Cloud, Json, str], Json]] = {
    "CreateQueue": Cloud._create,
    "GetQueueUrl": Cloud._url,
    "ListQueues": Cloud._list,
    "GetQueueAttributes": Cloud._attributes,
    "SetQueueAttributes": Cloud._set,
    "PurgeQueue": Cloud._purge,
}
_ABOUT_ONE: dict[str, Callable[[Cloud, Shelf, Json], Json]] = {
    "SendMessage": Cloud._send,
    "DeleteMessage": Cloud._delete,
    "ChangeMessageVisibility": Cloud._change,
}


def _check_batch(action: str, entries: list[Json]) -> None:
    ids = [entry.get("Id", "") for entry in entries]
    if not entries:
        raise faults.batch("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > _BATCH:
        raise faults.batch("TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {_BATCH}.")
    if len(set(ids)) < len(ids):
        raise faults.batch("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.")
    if not all(re.fullmatch(r"[\w-]{1,80}", entry_id, re.ASCII) for entry_id in ids):
        raise faults.batch("InvalidBatchEntryId", "A batch entry id can only contain letters, digits, - and _.")
    if action == "SendMessageBatch" and (size := sum(map(wire.size, entries))) > wire.MOST_BYTES:
        why = f"Batch requests cannot be longer than {wire.MOST_BYTES} bytes. You have sent {size} bytes."
        raise faults.batch("BatchRequestTooLong", why)


def _described(message: Message, request: Json) -> Json:
    answer: Json = {"MessageId": message.message_id, "ReceiptHandle": message.receipt, "Body": message.body}
    answer["MD5OfBody"] = wire.md5(message.body)
    asked = {*request.get("AttributeNames", ()), *request.get("MessageSystemAttributeNames", ())}
    system = {
        "ApproximateReceiveCount": str(message.receives),
        "SentTimestamp": str(int(message.sent_s * 1000)),
        "ApproximateFirstReceiveTimestamp": str(int(message.first_s * 1000)),
    }
    if found := {name: value for name, value in system.items() if "All" in asked or name in asked}:
        answer["Attributes"] = found
    names = request.get("MessageAttributeNames", ())
    if own := {name: value for name, value in message.attributes.items() if wire.is_asked(name, names)}:
        answer |= {"MessageAttributes": own, "MD5OfMessageAttributes": wire.attributes_md5(own)}
    return answer
