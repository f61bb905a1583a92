"""Creates what NanoGrid needs on AWS (queues, tables, buckets), or repairs it; prints the environment to use it with.

    .venv/bin/python deploy/aws/create.py >>grid.env

Again changes nothing that is as it should be. Credentials and region come from where boto3 finds them; with
AWS_ENDPOINT_URL another server takes AWS's place. docs/aws.md lists the permissions it needs.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy.aws import buckets, queues, tables
from nanogrid import aws


def main() -> None:
    wanted = _arguments()
    try:
        session = aws.session()
        account = session.client("sts").get_caller_identity()["Account"]
        data_bucket = wanted.data_bucket or f"nanogrid-user-data-{account}"
        for done in _ensure(session, wanted, data_bucket):
            print(done, file=sys.stderr, flush=True)
        queue_url = queues.url(session.client("sqs"), wanted.queue)
    except (BotoCoreError, ClientError, ValueError) as error:
        sys.exit(f"create.py: {error}")
    print(f"AWS_REGION={session.region_name}")
    print(f"S3_BUCKET={wanted.code_bucket}")
    print(f"S3_USER_DATA_BUCKET={data_bucket}")
    print(f"DYNAMODB_TABLE={wanted.functions_table}")
    if wanted.keys_table != tables.KEYS.name:
        print(f"NANOGRID_REGISTRY_STORE_URL=dynamodb://{wanted.functions_table}?keys={wanted.keys_table}")
    print(f"SQS_QUEUE_URL={queue_url}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--queue", default="nanogrid-task-queue", help="its dead letters go to NAME-dlq")
    parser.add_argument("--functions-table", default=tables.FUNCTIONS.name)
    parser.add_argument("--keys-table", default=tables.KEYS.name)
    parser.add_argument("--code-bucket", default="nanogrid-code-bucket", help="names are shared by the whole world")
    parser.add_argument("--data-bucket", default="", help="default: nanogrid-user-data-ACCOUNT")
    parser.add_argument("--kept-days", type=int, default=7, help="how long results of jobs are kept")
    return parser.parse_args()


def _ensure(session: Any, wanted: argparse.Namespace, data_bucket: str) -> Iterator[str]:
    yield from queues.ensure(session.client("sqs"), wanted.queue)
    dynamodb, s3 = session.client("dynamodb"), session.client("s3")
    yield from tables.ensure(dynamodb, tables.FUNCTIONS, wanted.functions_table)
    yield from tables.ensure(dynamodb, tables.KEYS, wanted.keys_table)
    yield from buckets.ensure_code(s3, wanted.code_bucket, session.region_name)
    yield from buckets.ensure_data(s3, data_bucket, session.region_name, wanted.kept_days)


if __name__ == "__main__":
    main()
