"""Makes in the backing services what a template makes in AWS: queues with dead letters behind them, zones, tables."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from service.aws.clients import AwsClient
from service.aws.faults import code_of
from service.aws.redshift import WarehouseLimits, open_warehouse
from service.aws.sqs import SqsQueue, queue_url
from service.core.clock import SystemClock
from service.core.datasets import Dataset
from service.load.migrate import Migration
from service.runtime import PooledFanOut

REGION = "eu-central-1"
RECORDS, REFINE, LOAD, REPROCESS = "acequia-records", "acequia-refine", "acequia-load", "acequia-reprocess"
ALERTS, MAIL = "acequia-alerts", "acequia-mail"
RECEIVES_MAX = 20
"""High, so that deployments and kills never push good messages into dead letters."""
RETENTION_SECONDS = 14 * 24 * 3600
MESSAGE_BYTES_MAX = 1024 * 1024
CALLS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class LocalAws:
    """Clients of the emulated AWS."""

    sqs: AwsClient
    s3: AwsClient
    sns: AwsClient

    async def queue(self, name: str) -> SqsQueue:
        """The `Queue` port on one of its queues."""
        url = await queue_url(self.sqs, name)
        return SqsQueue(
            name, url, polling=self.sqs, calls=self.sqs, fan_out=PooledFanOut(CALLS_AT_ONCE), clock=SystemClock()
        )


@asynccontextmanager
async def open_aws(endpoint: str) -> AsyncIterator[LocalAws]:
    """Clients for the length of the block; nothing is read from the environment."""
    session = get_session()
    place: dict[str, Any] = {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }
    async with (
        session.create_client("sqs", **place) as sqs,
        session.create_client("s3", **place) as s3,
        session.create_client("sns", **place) as sns,
    ):
        yield LocalAws(sqs, s3, sns)


async def create_zones(aws: LocalAws, buckets: Iterable[str]) -> None:
    """The zones' buckets. Finding one of ours there already is no failure."""
    for bucket in buckets:
        try:
            await aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        except ClientError as wrong:
            if code_of(wrong) != "BucketAlreadyOwnedByYou":
                raise


async def create_queues(aws: LocalAws) -> None:
    """The three working queues with their dead-letter queues, and the reprocess queue."""
    for name in (RECORDS, REFINE, LOAD):
        dead = await _queue(aws, f"{name}-dlq", {})
        target = (await aws.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"]))["Attributes"][
            "QueueArn"
        ]
        redrive = {"deadLetterTargetArn": target, "maxReceiveCount": RECEIVES_MAX}
        await _queue(aws, name, {"RedrivePolicy": json.dumps(redrive)})
    await _queue(aws, REPROCESS, {})


async def create_alerts(aws: LocalAws) -> str:
    """The topic for mail, with a queue subscribed to it in the place of people; returns its ARN."""
    topic = str((await aws.sns.create_topic(Name=ALERTS))["TopicArn"])
    url = await _queue(aws, MAIL, {})
    arn = (await aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]))["Attributes"]["QueueArn"]
    await aws.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic


async def create_tables(dsn: str, sql: Path, datasets: Mapping[str, Dataset]) -> None:
    """Schemas, ledgers and dataset tables, as `acequia migrate` makes them."""
    limits = WarehouseLimits(connections_max=1, statement_seconds_max=60)
    async with open_warehouse(dsn, password=None, tls=False, limits=limits) as warehouse:
        await Migration(sql, datasets, warehouse).run(SystemClock().now())


async def _queue(aws: LocalAws, name: str, attributes: Mapping[str, str]) -> str:
    common = {"MessageRetentionPeriod": str(RETENTION_SECONDS), "MaximumMessageSize": str(MESSAGE_BYTES_MAX)}
    return str((await aws.sqs.create_queue(QueueName=name, Attributes={**common, **attributes}))["QueueUrl"])
