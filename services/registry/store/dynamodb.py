"""The store on DynamoDB: a table of functions and one of keys, each with indices in the order of its pages."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from google.protobuf.timestamp_pb2 import Timestamp

from nanogrid import aws, paging
from nanogrid.caller import LOCAL_PRINCIPAL
from nanogrid.errors import ConflictError, NotFoundError
from nanogrid.v1.resources_pb2 import ApiKey, Function, SandboxMode
from services.registry.store import KeyRecord, NamedUpload, reservation_lost
from services.registry.store import dynamodb_uploads as uploads
from services.registry.store.dynamodb_table import POSITION, Index, Item, Put, Table, position_of

if TYPE_CHECKING:  # stubs are for checking only
    from mypy_boto3_dynamodb import DynamoDBClient

_KEYS_TABLE = "NanoGridKeys"
_THREADS = 16  # calls at a time, of milliseconds each; more wait their turn

# Created by deploy/aws/create.py. The last lists a whole table, for operators only: one partition takes 1000 writes a
# second, far more than anybody uploads, and unlike a scan it knows an order.
_BY_OWNER = Index("byOwner", "owner")
_BY_NAME = Index("byName", "ownerName")
_BY_AGE = Index("byAge", "kind")
_FUNCTION = "function"
_KEY = "key"


class DynamoStore:
    """Both tables. Uploads are in that of functions.

    Single items are read as they are now. Look-ups by name and lists may lag by moments.

    Records are kept as protobuf bytes, so that a new field needs no migration. The other attributes serve searches,
    people and other tools.
    """

    def __init__(self, functions: Table, keys: Table) -> None:
        self._functions = functions
        self._keys = keys

    async def insert_function(self, function: Function, upload: NamedUpload | None = None) -> None:
        """See FunctionStore."""
        item, is_open = _function_item(function), True
        if upload is None:
            is_new = await self._functions.insert(item)
        else:
            puts = (Put(item, "attribute_not_exists(functionId)"), uploads.completing(upload))
            is_new, is_open = await self._functions.put_all(puts)
        if not is_new:
            raise ConflictError(f"function_id: {function.function_id} exists; a new function needs a new id")
        if not is_open:
            raise reservation_lost()

    async def get_function(self, function_id: str) -> Function:
        """See FunctionStore."""
        return _one_function(await self._functions.get(_own(function_id)))

    async def newest_function(self, owner: str, name: str) -> Function:
        """See FunctionStore."""
        found = await self._functions.newest(_BY_NAME, _owner_name(owner, name), "", 1)
        return _one_function(found[0] if found else None)

    async def page_functions(self, owner: str | None, size: int, page_token: str) -> tuple[list[Function], str]:
        """See FunctionStore."""
        index, partition = (_BY_AGE, _FUNCTION) if owner is None else (_BY_OWNER, owner)
        items, token = await _page(self._functions, index, partition, size, page_token)
        return [_function(item) for item in items], token

    async def delete_function(self, function_id: str) -> Function:
        """See FunctionStore."""
        return _one_function(await self._functions.delete(_own(function_id)))

    async def reserve_upload(self, upload: NamedUpload, now_us: int) -> NamedUpload | None:
        """See UploadStore."""
        taken = await self._functions.put(uploads.reserving(upload, now_us))
        return None if taken is None else uploads.upload_in(taken)

    async def release_upload(self, upload: NamedUpload) -> NamedUpload | None:
        """See UploadStore."""
        left = await self._functions.delete_if(uploads.key_of(upload), uploads.SAME, uploads.same(upload))
        return None if left is None else uploads.upload_in(left)

    async def insert_key(self, record: KeyRecord) -> None:
        """See KeyStore."""
        key = record.key
        item = {
            "keyId": {"S": key.key_id},
            "digest": {"S": record.digest},
            "kind": {"S": _KEY},
            POSITION: {"S": position_of(key.created_at.ToMicroseconds(), key.key_id)},
            "record": {"B": key.SerializeToString()},
        }
        if not await self._keys.insert(item):
            raise ConflictError(f"key_id: {key.key_id} exists")

    async def get_key(self, key_id: str) -> KeyRecord:
        """See KeyStore."""
        item = await self._keys.get(key_id)
        if item is None:
            raise NotFoundError("no such API key")
        return KeyRecord(ApiKey.FromString(item["record"]["B"]), item["digest"]["S"])

    async def page_keys(self, size: int, page_token: str) -> tuple[list[ApiKey], str]:
        """See KeyStore."""
        items, token = await _page(self._keys, _BY_AGE, _KEY, size, page_token)
        return [ApiKey.FromString(item["record"]["B"]) for item in items], token

    async def revoke_key(self, key_id: str, at_us: int) -> ApiKey:
        """See KeyStore."""
        key = (await self.get_key(key_id)).key
        if key.HasField("revoked_at"):
            return key
        key.revoked_at.FromMicroseconds(at_us)
        changes = {"record": {"B": key.SerializeToString()}, "revokedAt": {"S": key.revoked_at.ToJsonString()}}
        if await self._keys.amend(key_id, changes, unless="revokedAt"):
            return key
        return (await self.get_key(key_id)).key  # somebody else was first


async def _page(table: Table, index: Index, partition: str, size: int, page_token: str) -> tuple[list[Item], str]:
    match paging.position(page_token, (int, str)):
        case [int(created_us), str(item_id)]:
            before = position_of(created_us, item_id)
        case _:
            before = ""
    items = await table.newest(index, partition, before, size + 1)
    if len(items) <= size:
        return items, ""
    created_us_text, _, item_id = items[size - 1][POSITION]["S"].partition("#")
    return items[:size], paging.token([int(created_us_text), item_id])


def _own(function_id: str) -> str:
    """Return the id, or none at all where it would name something that is no function."""
    return "" if function_id.startswith(uploads.PREFIX) else function_id


def _owner_name(owner: str, name: str) -> str:
    return f"{owner}#{name}"  # no principal holds a #


def _function_item(function: Function) -> Item:
    return {
        "functionId": {"S": function.function_id},
        "functionName": {"S": function.function_name},
        "s3Key": {"S": function.s3_key},
        "runtime": {"S": function.runtime},
        "handler": {"S": function.handler},
        "timeout": {"N": str(function.timeout_s)},
        "createdAt": {"S": function.created_at.ToJsonString()},
        "owner": {"S": function.owner},
        "ownerName": {"S": _owner_name(function.owner, function.function_name)},
        "kind": {"S": _FUNCTION},
        POSITION: {"S": position_of(function.created_at.ToMicroseconds(), function.function_id)},
        "record": {"B": function.SerializeToString()},
    }


def _one_function(item: Item | None) -> Function:
    if item is None:
        raise NotFoundError("no such function", field="function_id")
    return _function(item)


def _function(item: Item) -> Function:
    return Function.FromString(item["record"]["B"]) if "record" in item else _put_by_hand(item)


def _put_by_hand(item: Item) -> Function:
    """Return a function that other tools put into the table.

    It can be called by its id, with defaults for missing attributes.
    """
    text = {name: value["S"] for name, value in item.items() if "S" in value}
    return Function(
        function_id=text["functionId"],
        function_name=text.get("functionName", ""),
        owner=text.get("owner", LOCAL_PRINCIPAL),
        runtime=text.get("runtime", ""),
        handler=text.get("handler", ""),
        s3_key=text.get("s3Key", ""),
        timeout_s=int(item.get("timeout", {}).get("N", 300)),
        memory_mb=512,
        mode=SandboxMode.SANDBOX_MODE_REUSE,
        created_at=_time(text.get("createdAt", "")),
    )


def _time(text: str) -> Timestamp:
    found = Timestamp()
    try:
        found.FromJsonString(text)
    except ValueError:
        found.Clear()  # written in some other way
    return found


@asynccontextmanager
async def open_dynamodb_store(url: str) -> AsyncIterator[DynamoStore]:
    """Open the tables that `url` names, `dynamodb://FunctionsTable?keys=KeysTable`. They have to be there."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if not parts.netloc or parts.path not in ("", "/") or options.keys() - {"keys"}:
        able = "dynamodb://NanoGridFunctions or dynamodb://NanoGridFunctions?keys=NanoGridKeys"
        raise ValueError(f"NANOGRID_REGISTRY_STORE_URL: {url!r} names no tables; use {able}")
    client: DynamoDBClient = await asyncio.to_thread(aws.client, "dynamodb", connections=_THREADS, read_s=10.0)
    pool = ThreadPoolExecutor(_THREADS, "dynamodb")
    try:
        functions = Table(client, pool, parts.netloc, "functionId")
        yield DynamoStore(functions, Table(client, pool, options.get("keys", _KEYS_TABLE), "keyId"))
    finally:
        await asyncio.to_thread(pool.shutdown)
        client.close()
