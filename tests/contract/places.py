"""Where a port's suite runs: on the fakes, and on the service's own clients against the one-machine stack."""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import pytest

from service.aws.clients import AwsClient, Clients, open_client, open_clients
from service.aws.redshift import RedshiftWarehouse, WarehouseLimits, open_warehouse, read_as_text
from service.aws.s3 import S3Store
from service.aws.sns import SnsTopic
from service.aws.sqs import SqsQueue, queue_url
from service.core.clock import SystemClock
from service.core.datasets import Dataset
from service.core.ports import Clock, Notifier, ObjectStore, Queue, Warehouse
from service.local.emulator import emulated_aws
from service.local.ports import free_port
from service.local.postgres import SUPERUSER, Postgres, postgres
from service.local.provision import REGION, create_tables
from service.local.redshift.faults import Faults
from service.local.redshift.server import redshift_standin
from service.runtime import PooledFanOut
from service.settings import PROJECT
from tests.fakes.journal import Journal
from tests.fakes.notifier import FakeNotifier
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.time import LoopClock
from tests.fakes.warehouse import FakeWarehouse

BUCKET = "contract"
LIMITS = WarehouseLimits(connections_max=4, statement_seconds_max=20)
Figures = tuple[int, int, int]
"""Of a file in the ledger: rows, inserted, duplicate."""
MAIL_SECONDS_MAX = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Topic:
    """Somewhere to publish, and what its one subscriber got next: subject and text."""

    notifier: Notifier
    mail: Callable[[], Coroutine[Any, Any, tuple[str, str]]]


class Place(Protocol):
    """One implementation of every port, and ways to look behind the ports."""

    @property
    def clock(self) -> Clock:
        """Its time."""
        ...

    @property
    def store(self) -> ObjectStore:
        """Its objects."""
        ...

    @property
    def warehouse(self) -> Warehouse:
        """Its warehouse."""
        ...

    async def queue(self) -> Queue:
        """A new, empty queue."""
        ...

    async def topic(self) -> Topic:
        """A new topic with one subscriber."""
        ...

    async def prepare(self, dataset: Dataset) -> None:
        """Make the dataset's tables."""
        ...

    async def rows(self, dataset: Dataset) -> list[dict[str, Any]]:
        """The table, by event id."""
        ...

    async def ledger(self, dataset: Dataset) -> dict[str, Figures]:
        """The ledger's figures, by file."""
        ...


class FakePlace:
    """The fakes of `tests/fakes`, on real time."""

    def __init__(self) -> None:
        self._journal = Journal()
        self.clock = LoopClock()
        self.store = FakeStore(self._journal)
        self.warehouse = FakeWarehouse(self._journal, self.store, ())

    async def queue(self) -> Queue:
        return FakeQueue("records", self._journal)

    async def topic(self) -> Topic:
        notifier = FakeNotifier(self._journal)

        async def mail() -> tuple[str, str]:
            return notifier.mails.pop(0)

        return Topic(notifier, mail)

    async def prepare(self, dataset: Dataset) -> None:
        """The fake's tables need no making."""

    async def rows(self, dataset: Dataset) -> list[dict[str, Any]]:
        return sorted(self.warehouse.rows(dataset.name), key=lambda row: str(row["event_id"]))

    async def ledger(self, dataset: Dataset) -> dict[str, Figures]:
        return dict(self.warehouse.ledger(dataset.name))


@dataclass
class RealPlace:
    """What runs in production, against emulated AWS and the Redshift stand-in."""

    clients: Clients
    sns: AwsClient
    dsn: str
    postgres: Postgres
    warehouse: RedshiftWarehouse
    store: S3Store
    clock: SystemClock
    numbers: Iterator[int]
    faults: Faults
    endpoint: str

    async def queue(self) -> SqsQueue:
        name = f"contract-{next(self.numbers)}"
        await self.clients.sqs.create_queue(QueueName=name)
        return sqs_queue(name, await queue_url(self.clients.sqs, name), self.clients)

    async def topic(self) -> Topic:
        queue = await self.queue()
        wanted = {"QueueUrl": await queue_url(self.clients.sqs, queue.name), "AttributeNames": ["QueueArn"]}
        to = (await self.clients.sqs.get_queue_attributes(**wanted))["Attributes"]["QueueArn"]
        arn = (await self.sns.create_topic(Name=queue.name))["TopicArn"]
        await self.sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=to)

        async def mail() -> tuple[str, str]:
            [message] = await queue.receive(wait_seconds=MAIL_SECONDS_MAX, visibility_seconds=60)
            await queue.delete([message.receipt])
            found = json.loads(message.body)
            return found["Subject"], found["Message"]

        return Topic(SnsTopic(self.sns, arn), mail)

    async def prepare(self, dataset: Dataset) -> None:
        await create_tables(self.dsn, PROJECT / "sql", {dataset.name: dataset})

    async def rows(self, dataset: Dataset) -> list[dict[str, Any]]:
        return await self.fetch(f'SELECT * FROM lake."{dataset.name}" ORDER BY event_id')

    async def ledger(self, dataset: Dataset) -> dict[str, Figures]:
        found = await self.fetch(f'SELECT * FROM acequia."load_ledger_{dataset.name}"')
        assert len({row["uri"] for row in found}) == len(found), "a file is in the ledger twice"
        return {row["uri"]: (row["row_count"], row["inserted"], row["duplicate"]) for row in found}

    async def fetch(self, sql: str) -> list[dict[str, Any]]:
        """Ask the warehouse, beside the port."""
        connection = await asyncpg.connect(self.dsn, statement_cache_size=0)
        await read_as_text(connection)
        try:
            return [dict(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of somebody else's."""
        connection = await asyncpg.connect(self.dsn, statement_cache_size=0)
        try:
            yield connection
        finally:
            await connection.close()

    async def cut_every_session(self) -> None:
        """What a warehouse that restarts does to its clients."""
        connection = await self.postgres.connect(user=SUPERUSER)
        try:
            await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'acequia'")
        finally:
            await connection.close()


@asynccontextmanager
async def real_place(directory: Path) -> AsyncIterator[RealPlace]:
    """Start the backing services, and open the clients as `app.py` does."""
    faults = Faults()
    async with (
        emulated_aws(directory / "aws", free_port(0)) as endpoint,
        postgres(directory / "warehouse") as behind,
        redshift_standin(free_port(0), behind, endpoint, faults=faults) as dsn,
        clients_of(endpoint) as clients,
        client_of("sns", endpoint) as sns,
        open_warehouse(dsn, password=None, tls=False, limits=LIMITS) as warehouse,
    ):
        await clients.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield RealPlace(
            clients,
            sns,
            dsn,
            behind,
            warehouse,
            S3Store(clients.s3),
            SystemClock(),
            itertools.count(1),
            faults,
            endpoint,
        )


def clients_of(endpoint: str) -> AbstractAsyncContextManager[Clients]:
    """The service's clients."""
    return _opened(open_clients(pollers=2, poll_seconds=10, connections_max=8), endpoint)


def client_of(service: str, endpoint: str) -> AbstractAsyncContextManager[AwsClient]:
    """The client of one more service."""
    return _opened(open_client(service), endpoint)


@asynccontextmanager
async def _opened(opening: AbstractAsyncContextManager[T], endpoint: str) -> AsyncIterator[T]:
    """Clients take their endpoint from the environment when they are opened, and never again."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", "local")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "local")
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        opened = await opening.__aenter__()
    try:
        yield opened
    finally:
        await opening.__aexit__(None, None, None)


def sqs_queue(name: str, url: str, clients: Clients) -> SqsQueue:
    """The port as `app.py` builds it."""
    return SqsQueue(name, url, polling=clients.polling, calls=clients.sqs, fan_out=PooledFanOut(4), clock=SystemClock())
