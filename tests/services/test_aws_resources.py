"""deploy/aws/create.py makes what the services need, changes nothing the second time, and repairs what drifted."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.moto_server import MotoServer
from support.waiting import WATCHDOG_S

SCRIPT = Path(__file__).parents[2] / "deploy/aws/create.py"
WEEK = {"Days": 7}

Client = Callable[[str], Any]


@pytest.fixture
def client(aws: MotoServer) -> Client:
    return boto3.client


def create(*options: str, code: int = 0) -> tuple[dict[str, str], list[str]]:
    """The environment it prints, and what it says it did."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *options], capture_output=True, text=True, timeout=WATCHDOG_S, check=False
    )
    assert done.returncode == code, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines()), done.stderr.splitlines()


def attributes(client: Client, name: str) -> dict[str, str]:
    sqs = client("sqs")
    return sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=["All"])[
        "Attributes"
    ]


def rules(client: Client, bucket: str) -> dict[str, Any]:
    found = client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return {rule["ID"]: rule for rule in found}


def test_it_prints_the_environment_to_use_it_with(aws: MotoServer) -> None:
    env, _ = create()

    assert env == {
        "AWS_REGION": "ap-northeast-2",
        "S3_BUCKET": "nanogrid-code-bucket",
        "S3_USER_DATA_BUCKET": "nanogrid-user-data-123456789012",
        "DYNAMODB_TABLE": "NanoGridFunctions",
        "SQS_QUEUE_URL": f"{aws.url}/123456789012/nanogrid-task-queue",
    }


def test_the_queue_keeps_messages_and_gives_up_on_them_in_the_end(client: Client) -> None:
    create()

    queue, dead = attributes(client, "nanogrid-task-queue"), attributes(client, "nanogrid-task-queue-dlq")
    assert (queue["ReceiveMessageWaitTimeSeconds"], queue["VisibilityTimeout"]) == ("20", "300")
    assert queue["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == "1209600"
    assert queue["SqsManagedSseEnabled"] == dead["SqsManagedSseEnabled"] == "true"
    redrive = json.loads(queue["RedrivePolicy"])
    assert (redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])) == (dead["QueueArn"], 10)


@pytest.mark.parametrize(
    ("table", "key", "indices"),
    [
        ("NanoGridFunctions", "functionId", {"byOwner": "owner", "byName": "ownerName", "byAge": "kind"}),
        ("NanoGridKeys", "keyId", {"byAge": "kind"}),
    ],
)
def test_the_tables_have_their_indices_and_backups(
    client: Client, table: str, key: str, indices: dict[str, str]
) -> None:
    create()

    found = client("dynamodb").describe_table(TableName=table)["Table"]
    assert found["KeySchema"] == [{"AttributeName": key, "KeyType": "HASH"}]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    partitions = {one["IndexName"]: one["KeySchema"][0]["AttributeName"] for one in found["GlobalSecondaryIndexes"]}
    assert partitions == indices
    backups = client("dynamodb").describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    ttl = client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}


def test_no_index_of_keys_holds_their_digests(client: Client) -> None:
    create()

    [index] = client("dynamodb").describe_table(TableName="NanoGridKeys")["Table"]["GlobalSecondaryIndexes"]
    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["record"]}


def test_the_buckets_are_private_encrypted_and_tidy(client: Client) -> None:
    create()

    s3, data = client("s3"), "nanogrid-user-data-123456789012"
    for bucket in ("nanogrid-code-bucket", data):
        closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(closed.values()) == {True}
        [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert rules(client, bucket)["nanogrid-abandoned-uploads"]["AbortIncompleteMultipartUpload"]
    assert s3.get_bucket_versioning(Bucket=data)["Status"] == "Enabled"
    found = rules(client, data)
    for prefix, days in (("results", 7), ("payloads", 30)):
        assert found[f"nanogrid-{prefix}"]["Filter"] == {"Prefix": f"{prefix}/"}
        assert found[f"nanogrid-{prefix}"]["Expiration"]["Days"] == days
    assert found["nanogrid-superseded-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7


def test_the_second_time_nothing_is_changed(aws: MotoServer) -> None:
    first, done = create()
    again, done_again = create()

    assert len(done) > 10
    assert done_again == []
    assert again == first


def test_what_drifted_is_repaired_and_nothing_else(client: Client) -> None:
    env, _ = create()
    bucket = env["S3_USER_DATA_BUCKET"]
    client("sqs").set_queue_attributes(QueueUrl=env["SQS_QUEUE_URL"], Attributes={"VisibilityTimeout": "30"})
    client("dynamodb").update_table(
        TableName="NanoGridFunctions", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "byName"}}]
    )
    client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    client("s3").delete_public_access_block(Bucket=env["S3_BUCKET"])
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": WEEK}
    client("s3").put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [theirs]})

    _, done = create()

    assert done == [
        "queue nanogrid-task-queue: set VisibilityTimeout",
        "table NanoGridFunctions: index byName added",
        "bucket nanogrid-code-bucket: closed to the public",
        f"bucket {bucket}: versioned",
        f"bucket {bucket}: lifecycle set",
    ]
    assert attributes(client, "nanogrid-task-queue")["VisibilityTimeout"] == "300"
    assert {"theirs", "nanogrid-results"} <= rules(client, bucket).keys()
    assert create()[1] == []


def test_other_names_and_times_may_be_chosen(client: Client) -> None:
    names = ("--queue=q", "--functions-table=F-table", "--keys-table=K-table", "--code-bucket=c-b", "--data-bucket=d-b")

    env, _ = create(*names, "--kept-days=30")

    assert env["DYNAMODB_TABLE"] == "F-table"
    assert env["NANOGRID_REGISTRY_STORE_URL"] == "dynamodb://F-table?keys=K-table"
    assert rules(client, "d-b")["nanogrid-results"]["Expiration"]["Days"] == 30


def test_a_table_of_another_shape_is_left_alone(client: Client) -> None:
    client("dynamodb").create_table(
        TableName="NanoGridKeys",
        KeySchema=[{"AttributeName": "other", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "other", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    _, said = create(code=1)

    assert "choose another name" in said[-1]


def test_without_credentials_it_says_so(aws: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    _, said = create(code=1)

    assert said == ["create.py: Unable to locate credentials"]
