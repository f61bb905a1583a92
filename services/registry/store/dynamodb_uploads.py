"""Uploads as items of the functions table: beside the functions, in none of its indices, and gone by themselves."""

from services.registry.store import NamedUpload
from services.registry.store.dynamodb_table import Item, Put

PREFIX = "upload#"  # no function's id has a #
_DAY_S = 24 * 3600
_OPEN = "reservationId = :reservation AND fingerprint = :nothing"

SAME = "attribute_not_exists(functionId) OR (reservationId = :reservation AND fingerprint = :fingerprint)"


def key_of(upload: NamedUpload) -> str:
    """Tell where it is kept."""
    return PREFIX + upload.name


def same(upload: NamedUpload) -> Item:
    """Return the values that SAME compares with."""
    return {":reservation": {"S": upload.reservation_id}, ":fingerprint": {"S": upload.fingerprint}}


def reserving(upload: NamedUpload, now_us: int) -> Put:
    """Put an open upload where its name is free. Again, if an answer was lost."""
    values = {":reservation": {"S": upload.reservation_id}, ":nothing": {"S": ""}, ":now": {"N": str(now_us)}}
    return Put(_item(upload), f"attribute_not_exists(functionId) OR freeAt <= :now OR ({_OPEN})", values)


def completing(upload: NamedUpload) -> Put:
    """Put an upload that made a function in the place of the open one."""
    return Put(_item(upload), _OPEN, {":reservation": {"S": upload.reservation_id}, ":nothing": {"S": ""}})


def upload_in(item: Item) -> NamedUpload:
    """Return the upload in an item."""
    return NamedUpload(
        name=item["functionId"]["S"].removeprefix(PREFIX),
        reservation_id=item["reservationId"]["S"],
        free_at_us=int(item["freeAt"]["N"]),
        fingerprint=item["fingerprint"]["S"],
        function_id=item["madeFunctionId"]["S"],
    )


def _item(upload: NamedUpload) -> Item:
    return {
        "functionId": {"S": key_of(upload)},
        "reservationId": {"S": upload.reservation_id},
        "freeAt": {"N": str(upload.free_at_us)},
        "fingerprint": {"S": upload.fingerprint},
        "madeFunctionId": {"S": upload.function_id},
        # DynamoDB deletes what expired within days; until then an open one can be completed, as its port says.
        "expiresAt": {"N": str(upload.free_at_us // 1_000_000 + _DAY_S)},
    }
