"""The SQS queues: that of tasks, and the one for messages that nobody could work off."""

import json
from collections.abc import Iterator
from typing import Any

RECEIVES = 10  # a backstop: executors give a job up after three tries, which they count themselves
RETENTION_S = 14 * 24 * 3600
VISIBILITY_S = 300
LONG_POLL_S = 20


def ensure(client: Any, name: str) -> Iterator[str]:
    """Bring both queues to what they should be, saying what was done."""
    dead = f"{name}-dlq"
    common = {"MessageRetentionPeriod": str(RETENTION_S), "SqsManagedSseEnabled": "true"}
    yield from _ensure(client, dead, common)
    dead_arn = _attributes(client, dead)["QueueArn"]
    yield from _ensure(
        client,
        name,
        common
        | {
            "ReceiveMessageWaitTimeSeconds": str(LONG_POLL_S),
            "VisibilityTimeout": str(VISIBILITY_S),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": RECEIVES}),
        },
    )


def url(client: Any, name: str) -> str:
    """Return the queue's address."""
    return str(client.get_queue_url(QueueName=name)["QueueUrl"])


def _ensure(client: Any, name: str, wanted: dict[str, str]) -> Iterator[str]:
    try:
        found = _attributes(client, name)
    except client.exceptions.QueueDoesNotExist:
        client.create_queue(QueueName=name, Attributes=wanted)
        yield f"queue {name}: created"
        return
    drifted = {key: value for key, value in wanted.items() if _meaning(found.get(key)) != _meaning(value)}
    if drifted:
        client.set_queue_attributes(QueueUrl=url(client, name), Attributes=drifted)
        yield f"queue {name}: set {', '.join(sorted(drifted))}"


def _attributes(client: Any, name: str) -> dict[str, str]:
    answer = client.get_queue_attributes(QueueUrl=url(client, name), AttributeNames=["All"])
    return dict(answer["Attributes"])


def _meaning(value: str | None) -> Any:
    """Return the meaning of an attribute: servers respell the JSON of policies, and turn numbers to text."""
    if value is None or not value.startswith("{"):
        return value
    return {key: str(item) if isinstance(item, int) else item for key, item in json.loads(value).items()}
