"""The DynamoDB tables: functions and API keys, and the indices that lists and names are looked up in."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

WAIT_S = 900.0  # an index of a large table takes its time
_POLL_S = 2.0
_NOT_HERE = ("UnknownOperationException", "NotImplemented", "ValidationException")  # of servers that know less than AWS


@dataclass(frozen=True, slots=True)
class Table:
    """A table by its default name. Indices map a name to the attribute they are partitioned by."""

    name: str
    key: str
    indices: Mapping[str, str]
    shows: tuple[str, ...] = ()  # what its indices hold besides keys; nothing = everything


# Sorted by `position` each: age and id. What `services/registry/store/dynamodb.py` reads.
FUNCTIONS = Table("NanoGridFunctions", "functionId", {"byOwner": "owner", "byName": "ownerName", "byAge": "kind"})
KEYS = Table("NanoGridKeys", "keyId", {"byAge": "kind"}, shows=("record",))  # no index holds a key's digest
TTL_ATTRIBUTE = "expiresAt"  # seconds since 1970; items without it stay


def ensure(client: Any, table: Table, name: str) -> Iterator[str]:
    """Bring the table to what it should be, saying what was done."""
    found = _describe(client, name)
    if found is None:
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **_shape(table))
        yield f"table {name}: created"
    else:
        yield from _repair(client, table, name, found)
    _wait_active(client, name)
    yield from _ensure_backups(client, name)
    yield from _ensure_ttl(client, name)


def _repair(client: Any, table: Table, name: str, found: dict[str, Any]) -> Iterator[str]:
    if found["KeySchema"] != _keys(table.key):
        raise SystemExit(f"table {name} has the key {found['KeySchema']}, not {table.key}: choose another name")
    if found.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
        client.update_table(TableName=name, BillingMode="PAY_PER_REQUEST")
        yield f"table {name}: billed on demand"
        _wait_active(client, name)
    there = {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
    for wanted in _indices(table):
        if wanted["IndexName"] not in there:  # one at a time: DynamoDB takes no more
            client.update_table(
                TableName=name,
                AttributeDefinitions=_attributes(table),
                GlobalSecondaryIndexUpdates=[{"Create": wanted}],
            )
            yield f"table {name}: index {wanted['IndexName']} added"
            _wait_active(client, name)


def _ensure_backups(client: Any, name: str) -> Iterator[str]:
    try:
        found = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        if found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
            client.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
            yield f"table {name}: point-in-time recovery on"
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_HERE:
            raise


def _ensure_ttl(client: Any, name: str) -> Iterator[str]:
    found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if found["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        )
        yield f"table {name}: items expire at {TTL_ATTRIBUTE}"


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return None
    return found


def _wait_active(client: Any, name: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not _is_active(client.describe_table(TableName=name)["Table"]):
        if time.monotonic() > deadline:
            raise SystemExit(f"table {name} is still being changed after {WAIT_S:.0f} s: run this again later")
        time.sleep(_POLL_S)


def _is_active(found: dict[str, Any]) -> bool:
    indices = found.get("GlobalSecondaryIndexes", [])
    return found["TableStatus"] == "ACTIVE" and all(index["IndexStatus"] == "ACTIVE" for index in indices)


def _shape(table: Table) -> dict[str, Any]:
    return {
        "KeySchema": _keys(table.key),
        "AttributeDefinitions": _attributes(table),
        "GlobalSecondaryIndexes": _indices(table),
    }


def _indices(table: Table) -> list[dict[str, Any]]:
    shows = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(table.shows)} if table.shows else None
    return [
        {
            "IndexName": name,
            "KeySchema": _keys(attribute, "position"),
            "Projection": shows or {"ProjectionType": "ALL"},
        }
        for name, attribute in table.indices.items()
    ]


def _attributes(table: Table) -> list[dict[str, str]]:
    names = [table.key, "position", *table.indices.values()]
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def _keys(partition: str, *sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        *({"AttributeName": name, "KeyType": "RANGE"} for name in sort),
    ]
