"""One DynamoDB table as the store needs it: single items, conditions on writes, and pages of an index, newest first."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from nanogrid import aws

if TYPE_CHECKING:  # stubs are for checking only
    from mypy_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]  # attribute values as DynamoDB writes them: {"S": …}, {"N": …}, {"B": …}
Result = TypeVar("Result")

POSITION = "position"  # the sort key of every index; see position_of
_WHAT = "the registry's store"
_CONDITION = "ConditionalCheckFailed"
_KEY_BYTES = 2048  # DynamoDB's most of a partition key
_ID_CHARACTERS = 64  # more than any id of ours; a forged page token may hold anything


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index, and the attribute that it is partitioned by."""

    name: str
    partition: str


@dataclass(frozen=True, slots=True)
class Put:
    """An item, and the condition on the item under its key. Of `values` it may name any, `:name`."""

    item: Item
    condition: str
    values: Item = field(default_factory=dict)


def position_of(created_us: int, item_id: str) -> str:
    """Return the sort key of the indices: the age, then the id. It comes first where the age is negative."""
    return f"{created_us:020d}#{item_id[:_ID_CHARACTERS]}" if created_us >= 0 else "-"


class Table:
    """Safe for concurrent use. UnavailableError while DynamoDB, or the way to it, fails."""

    def __init__(self, client: "DynamoDBClient", pool: Executor, name: str, key: str) -> None:
        self._client = client
        self._pool = pool
        self._name = name
        self._key = key

    async def insert(self, item: Item) -> bool:
        """Tell whether it was inserted. False, and nothing is changed, where the key is taken."""
        return await self._run(self._insert, item)

    async def get(self, key: str) -> Item | None:
        """Return the item as it is now, or None."""
        if not _may_be_key(key):
            return None
        answer = await self._run(
            self._client.get_item, TableName=self._name, Key={self._key: {"S": key}}, ConsistentRead=True
        )
        return answer.get("Item")

    async def delete(self, key: str) -> Item | None:
        """Return the item that was deleted, or None. Of several at once, one gets it."""
        if not _may_be_key(key):
            return None
        answer = await self._run(
            self._client.delete_item, TableName=self._name, Key={self._key: {"S": key}}, ReturnValues="ALL_OLD"
        )
        return answer.get("Attributes")

    async def amend(self, key: str, changes: Item, *, unless: str) -> bool:
        """Tell whether the item was changed: False where it has an attribute `unless` already, or is not there."""
        return await self._run(self._amend, key, changes, unless)

    async def put(self, put: Put) -> Item | None:
        """Return none when it was put.

        Where its condition does not hold, return the item there ({} where there is none).
        """
        return await self._run(self._put, put)

    async def put_all(self, puts: Sequence[Put]) -> Sequence[bool]:
        """Tell whether the condition of each held: all are put, or none is."""
        return await self._run(self._put_all, puts)

    async def delete_if(self, key: str, condition: str, values: Item) -> Item | None:
        """Return none when nothing is left. Where the condition does not hold, return the item there."""
        return await self._run(self._delete_if, key, condition, values)

    async def newest(self, index: Index, partition: str, before: str, count: int) -> list[Item]:
        """Return the newest `count` items of a partition of an index, of those before a position ("" = of all).

        An index follows its table within moments.
        """
        return await self._run(self._newest, index, partition, before, count)

    def _insert(self, item: Item) -> bool:
        try:
            self._client.put_item(
                TableName=self._name,
                Item=item,
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": self._key},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not _is_condition(error):
                raise
            # An earlier attempt may have put the very same there, its answer lost.
            return aws.was_retried(error) and error.response.get("Item") == item
        return True

    def _amend(self, key: str, changes: Item, unless: str) -> bool:
        names = {f"#{n}": name for n, name in enumerate(changes)}
        values = {f":{n}": value for n, value in enumerate(changes.values())}
        try:
            self._client.update_item(
                TableName=self._name,
                Key={self._key: {"S": key}},
                UpdateExpression="SET " + ", ".join(f"#{n} = :{n}" for n in range(len(changes))),
                ConditionExpression="attribute_exists(#key) AND attribute_not_exists(#unless)",
                ExpressionAttributeNames=names | {"#key": self._key, "#unless": unless},
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if not _is_condition(error):
                raise
            return False
        return True

    def _put(self, put: Put) -> Item | None:
        try:
            self._client.put_item(**self._request(put), ReturnValuesOnConditionCheckFailure="ALL_OLD")
        except ClientError as error:
            if not _is_condition(error):
                raise
            return _there(error)
        return None

    def _put_all(self, puts: Sequence[Put]) -> Sequence[bool]:
        try:
            # The SDK gives every call a token of its own, so that its own retries are carried out once.
            self._client.transact_write_items(TransactItems=[{"Put": self._request(put)} for put in puts])
        except self._client.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code", "") for reason in error.response["CancellationReasons"]]
            if set(codes) - {"None", _CONDITION}:  # somebody was at the same items, or the table is out of breath
                raise
            return [code != _CONDITION for code in codes]
        return [True] * len(puts)

    def _delete_if(self, key: str, condition: str, values: Item) -> Item | None:
        try:
            self._client.delete_item(
                TableName=self._name,
                Key={self._key: {"S": key}},
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not _is_condition(error):
                raise
            return _there(error)
        return None

    def _request(self, put: Put) -> Any:
        values = {"ExpressionAttributeValues": put.values} if put.values else {}  # DynamoDB takes no empty ones
        return {"TableName": self._name, "Item": put.item, "ConditionExpression": put.condition, **values}

    def _newest(self, index: Index, partition: str, before: str, count: int) -> list[Item]:
        names = {"#partition": index.partition} | ({"#position": POSITION} if before else {})
        values = {":partition": {"S": partition}} | ({":before": {"S": before}} if before else {})
        found: list[Item] = []
        start: dict[str, Any] = {}
        while len(found) < count:
            answer = self._client.query(  # answers at most 1 MiB at once
                TableName=self._name,
                IndexName=index.name,
                KeyConditionExpression="#partition = :partition" + (" AND #position < :before" if before else ""),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                Limit=count - len(found),
                **start,
            )
            found += answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                break
            start = {"ExclusiveStartKey": last}
        return found

    async def _run(self, work: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        with aws.translated(_WHAT):
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))


def _may_be_key(key: str) -> bool:
    return 1 <= len(key.encode(errors="replace")) <= _KEY_BYTES


def _is_condition(error: ClientError) -> bool:
    return aws.code_of(error) == f"{_CONDITION}Exception"


def _there(error: ClientError) -> Item:
    found: Item = error.response.get("Item", {})  # type: ignore[assignment]  # the stubs know no error's own fields
    return found
