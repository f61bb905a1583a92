"""The S3 buckets: one for code, one for what users' functions leave behind. Both private and encrypted."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

# A payload waits for its job as long as its message may: 14 days queued, and as long again as a dead letter.
PAYLOAD_DAYS = 30
_ABANDONED_DAYS = 1  # uploads in parts of processes that died

_PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_NOTHING_SET = (
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)


def ensure_code(client: Any, name: str, region: str) -> Iterator[str]:
    """Bring the bucket of code to what it should be, saying what was done."""
    yield from _ensure(client, name, region)
    yield from _ensure_lifecycle(client, name, [_abandoned()])


def ensure_data(client: Any, name: str, region: str, kept_days: int) -> Iterator[str]:
    """Likewise that of users' data: versioned, without results older than `kept_days`; output files stay."""
    yield from _ensure(client, name, region)
    if client.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        yield f"bucket {name}: versioned"
    rules = [_expiring("results/", kept_days), _expiring("payloads/", PAYLOAD_DAYS)]
    yield from _ensure_lifecycle(client, name, [_abandoned(), _superseded(kept_days), *rules])


def _ensure(client: Any, name: str, region: str) -> Iterator[str]:
    if not _is_there(client, name):
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=name, **where)
        yield f"bucket {name}: created"
    found = _get(client.get_public_access_block, name).get("PublicAccessBlockConfiguration")
    if found != _PRIVATE:
        client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=_PRIVATE)
        yield f"bucket {name}: closed to the public"
    if not _is_encrypted(client, name):
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        yield f"bucket {name}: encrypted"


def _is_there(client: Any, name: str) -> bool:
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in (301, 403):  # bucket names are shared by the whole world
            raise SystemExit(f"bucket {name} is another account's, or in another region: choose another name") from None
        if status != 404:  # noqa: PLR2004 - HTTP's own
            raise
        return False
    return True


def _is_encrypted(client: Any, name: str) -> bool:
    """Whether by any key: an operator's own is better than ours."""
    found = _get(client.get_bucket_encryption, name).get("ServerSideEncryptionConfiguration", {})
    return any(rule.get("ApplyServerSideEncryptionByDefault") for rule in found.get("Rules", []))


def _ensure_lifecycle(client: Any, name: str, wanted: list[dict[str, Any]]) -> Iterator[str]:
    """Set our rules, by their ids, beside those of others."""
    rules = _get(client.get_bucket_lifecycle_configuration, name).get("Rules", [])
    found = {rule.get("ID", ""): rule for rule in rules}
    if all(_meaning(found.get(rule["ID"])) == _meaning(rule) for rule in wanted):
        return
    kept = found | {rule["ID"]: rule for rule in wanted}
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": list(kept.values())})
    yield f"bucket {name}: lifecycle set"


def _meaning(rule: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a rule without the parts that servers leave out or add when they show it."""
    if rule is None:
        return None
    without = {key: value for key, value in rule.items() if value not in ({}, {"Prefix": ""}, "", None)}
    return without | {"Expiration": {k: v for k, v in rule.get("Expiration", {}).items() if v is not False}}


def _abandoned() -> dict[str, Any]:
    abort = {"DaysAfterInitiation": _ABANDONED_DAYS}
    return _rule("nanogrid-abandoned-uploads", "", AbortIncompleteMultipartUpload=abort)


def _superseded(days: int) -> dict[str, Any]:
    # With the versions goes what only says that there were some.
    return _rule(
        "nanogrid-superseded-versions",
        "",
        NoncurrentVersionExpiration={"NoncurrentDays": days},
        Expiration={"ExpiredObjectDeleteMarker": True},
    )


def _expiring(prefix: str, days: int) -> dict[str, Any]:
    return _rule(f"nanogrid-{prefix.strip('/')}", prefix, Expiration={"Days": days})


def _rule(name: str, prefix: str, **what: Any) -> dict[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, **what}


def _get(call: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return dict(call(Bucket=name))
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOTHING_SET:
            return {}
        raise
