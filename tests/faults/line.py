"""A test's own queues, zones' prefixes, dataset and table; the workers that it starts, and the proxy before them."""

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from botocore.exceptions import ClientError

from service.aws.redshift import read_as_text
from service.aws.sqs import queue_url
from service.core.definitions import load_datasets
from service.core.model import Outgoing
from service.local.feed import messages
from service.local.ports import HOST
from service.local.provision import RECEIVES_MAX, REGION, LocalAws, create_tables
from service.local.stack import ZONES
from tests.faults.calls import Worker
from tests.faults.history import History, chosen
from tests.faults.http_proxy import Traffic, http_proxy
from tests.faults.program import LOOK_SECONDS, Program
from tests.faults.rules import Rule, Rules
from tests.faults.sql_proxy import sql_proxy
from tests.stack.conftest import PROJECT

LAYERS = ("records", "refine", "load")
KEY = "YWNlcXVpYSBhY2VxdWlhIGFjZXF1aWEgYWNlcXVpYSE="
VISIBILITY_SECONDS = 62
"""The shortest that the settings allow: 60 for landing, a poll, a batch's age."""
QUICK = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "ACEQUIA_LAYERS": "land,refine,load",
    "ACEQUIA_WAREHOUSE_TLS": "off",
    "ACEQUIA_COPY_ROLE_ARN": "arn:aws:iam::000000000000:role/acequia-copy",
    "ACEQUIA_IDENTITY_KEY": KEY,
    "ACEQUIA_MASK_KEY": KEY,
    "ACEQUIA_LAND_BATCH_SECONDS_MAX": "0.3",
    "ACEQUIA_REFINE_BATCH_SECONDS_MAX": "0.1",
    "ACEQUIA_LOAD_BATCH_SECONDS_MAX": "0.3",
    "ACEQUIA_LOAD_COPY_INTERVAL_SECONDS": "0",
    "ACEQUIA_QUARANTINE_BATCH_SECONDS_MAX": "0.5",
    "ACEQUIA_POLL_SECONDS": "1",
    "ACEQUIA_VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
    "ACEQUIA_DRAIN_SECONDS_MAX": "15",
    "ACEQUIA_RETRY_SECONDS_MAX": "1",
    "ACEQUIA_HTTP_HOST": HOST,
    "ACEQUIA_HTTP_PORT": "0",
    "ACEQUIA_LOG_LEVEL": "debug",
    "COLUMNS": "200",
}
"""Limits of seconds, so that a fault need last no longer."""


@dataclass(frozen=True)
class Services:
    """What all tests share: emulated AWS, and the stand-in."""

    aws: LocalAws
    aws_endpoint: str
    warehouse_dsn: str
    warehouse_port: int
    migration: asyncio.Lock
    """Whoever migrates holds it: two at once would both make what is there for all."""


@dataclass
class Line:
    """Everything of one test. `rules` arms faults; `history` tells what passed."""

    name: str
    directory: Path
    services: Services
    history: History
    exits: AsyncExitStack
    rules: Rules = field(default_factory=Rules)
    programs: list[Program] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()
        self.traffic = Traffic(self.history, self.rules, itertools.count(1), self._under_way)

    @property
    def dataset(self) -> str:
        """The dataset that the test sends."""
        return self.datasets[0]

    @property
    def next_name(self) -> str:
        """What the worker will be called that is started next."""
        return f"worker-{len(self.programs) + 1}"

    @property
    def definitions(self) -> Path:
        """Where the test's definitions lie."""
        return self.directory / "definitions"

    def queue(self, which: str) -> str:
        """The name of one of its queues."""
        return f"{self.name}-{which}"

    def zone(self, which: str) -> str:
        """The address of one of its zones: a prefix that no other test has."""
        return f"s3://{ZONES[which]}/{self.name}"

    async def start(self, **changed: str) -> Program:
        """One more worker, which receives."""
        program = await self.begin(**changed)
        await program.until("service_started")
        return program

    async def begin(self, *arguments: str, **changed: str) -> Program:
        """One more worker, which starts up; with `arguments`, a command that was given so."""
        worker = Worker(self.next_name)
        endpoint = self.services.aws_endpoint
        sqs = await self.exits.enter_async_context(http_proxy("sqs", worker, self.traffic, endpoint))
        s3 = await self.exits.enter_async_context(http_proxy("s3", worker, self.traffic, endpoint))
        sns = await self.exits.enter_async_context(http_proxy("sns", worker, self.traffic, endpoint))
        port = await self.exits.enter_async_context(sql_proxy(worker, self.traffic, self.services.warehouse_port))
        environment = {
            **QUICK,
            "AWS_ENDPOINT_URL_SQS": sqs,
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_ENDPOINT_URL_SNS": sns,
            "ACEQUIA_WAREHOUSE_DSN": f"postgresql://acequia@{HOST}:{port}/acequia",
            "ACEQUIA_DATASETS_DIRECTORY": str(self.definitions),
            **{f"ACEQUIA_{zone.upper()}_ZONE": self.zone(zone) for zone in ZONES},
            **{f"ACEQUIA_{layer.upper()}_QUEUE": self.queue(layer) for layer in LAYERS},
            **{f"ACEQUIA_{layer.upper()}_DEAD_QUEUE": self.queue(f"{layer}-dlq") for layer in LAYERS},
            "ACEQUIA_REPROCESS_QUEUE": self.queue("reprocess"),
            **self.changed,
            **changed,
        }
        program = Program(worker, self.directory, environment, arguments or ("run",))
        self.programs.append(program)
        return program

    async def define(self, name: str, source: Path) -> None:
        """One more dataset of the test's own, from another's definition, and its table."""
        self.definitions.mkdir(exist_ok=True)
        shutil.copy(source, self.definitions / f"{name}.toml")
        self.datasets.append(name)
        await self.migrate()

    async def migrate(self) -> None:
        """What `acequia migrate` does."""
        async with self.services.migration:
            await create_tables(self.services.warehouse_dsn, PROJECT / "sql", load_datasets(self.definitions))

    async def send(self, some: Sequence[Outgoing], *, to: str = "records") -> None:
        """What a producer does."""
        await (await self.services.aws.queue(self.queue(to))).send(some)

    def messages(self, lines: Sequence[str], *, records_per_message: int, dataset: str = "") -> list[Outgoing]:
        """Messages with these records."""
        source = (line.encode() for line in lines)
        made = messages(source, dataset=dataset or self.dataset, records_per_message=records_per_message)
        return [message for message, _ in made]

    async def depth(self, queue: str) -> tuple[int, int]:
        """Messages that wait, and messages that somebody holds."""
        sqs = self.services.aws.sqs
        url = await queue_url(sqs, self.queue(queue))
        given = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        late = int(given.get("ApproximateNumberOfMessagesDelayed", 0))
        return int(given["ApproximateNumberOfMessages"]) + late, int(given["ApproximateNumberOfMessagesNotVisible"])

    async def left(self) -> int:
        """Messages in the working queues."""
        return sum([sum(await self.depth(layer)) for layer in LAYERS])

    async def idle(self, *, seconds_max: float = 40) -> None:
        """Wait until the working queues are empty."""

        async def empty() -> bool:
            return await self.left() == 0

        await self.until(empty, seconds_max=seconds_max)

    async def until(self, condition: Callable[[], Awaitable[bool]], *, seconds_max: float = 40) -> None:
        """Wait for the stores to show something."""
        try:
            async with asyncio.timeout(seconds_max):
                while not await condition():  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            depths = {layer: await self.depth(layer) for layer in LAYERS}
            told = "\n".join(str(one) for program in self.programs for one in program.said()[-8:])
            raise AssertionError(f"not within {seconds_max:g} seconds; {depths}\n{told}") from None

    async def fired(self, rule: Rule, *, seconds_max: float = 60) -> None:
        """Wait until the fault has happened."""
        try:
            async with asyncio.timeout(seconds_max):
                await rule.happened.wait()
        except TimeoutError:
            told = "\n".join(str(one) for program in self.programs for one in program.said()[-8:])
            raise AssertionError(f"the fault {rule.name} never happened\n{told}") from None

    async def killed(self, rule: Rule, victim: Program, *, seconds_max: float = 60) -> None:
        """The fault has happened and its worker is dead: what it held is visible again."""
        await self.fired(rule, seconds_max=seconds_max)
        assert await victim.ended(seconds_max=10) == -signal.SIGKILL
        await self.expire(victim)

    async def expire(self, *programs: Program, lost: bool = False) -> None:
        """End the visibility of whatever these processes received, as time would; the handles are in the history.

        Handles of messages that were deleted, or received again since, are refused, and nothing happens to those.
        With `lost`, only of what they were never told of.
        """
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        names, history = {program.name for program in programs}, self.history.read()
        told = {entry.call for entry in chosen(history, "told")} if lost else set()
        receives = chosen(history, "done", "ReceiveMessage")
        mine = [one for one in receives if one.worker in names and one.call not in told]
        for queue in {one.target for one in mine}:
            received = [message for one in mine if one.target == queue for message in one.facts["messages"]]
            await self._show(queue, [message["receipt"] for message in received])

    async def received(self, count: int, *, queue: str = "records") -> None:
        """Wait until workers were told of that many messages."""

        async def enough() -> bool:
            history = self.history.read()
            told = {entry.call for entry in chosen(history, "told")}
            done = chosen(history, "done", "ReceiveMessage", self.queue(queue))
            return sum(len(one.facts["messages"]) for one in done if one.call in told) >= count

        await self.until(enough)

    async def _show(self, queue: str, receipts: Sequence[str]) -> None:
        sqs = self.services.aws.sqs
        url = await queue_url(sqs, queue)
        for start in range(0, len(receipts), 10):
            some = receipts[start : start + 10]
            entries = [{"Id": str(n), "ReceiptHandle": one, "VisibilityTimeout": 0} for n, one in enumerate(some)]
            with contextlib.suppress(ClientError):
                await sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, asked past the proxy; `{table}` and `{ledger}` are this line's."""
        connection = await asyncpg.connect(self.services.warehouse_dsn, statement_cache_size=0)
        await read_as_text(connection)
        try:
            places = {"table": f"lake.{self.dataset}", "ledger": f"acequia.load_ledger_{self.dataset}"}
            return [tuple(row) for row in await connection.fetch(sql.format(**places))]
        finally:
            await connection.close()

    async def rows(self) -> int:
        """Rows in the table."""
        [[count]] = await self.ask("SELECT COUNT(*) FROM {table}")
        return int(count)


@asynccontextmanager
async def open_line(name: str, directory: Path, services: Services, definition: Path) -> AsyncIterator[Line]:
    """Make the queues and the table; at the end no worker is left."""
    sqs = services.aws.sqs
    for layer in LAYERS:
        dead = await sqs.create_queue(QueueName=f"{name}-{layer}-dlq")
        arn = await sqs.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": RECEIVES_MAX}
        await sqs.create_queue(QueueName=f"{name}-{layer}", Attributes={"RedrivePolicy": json.dumps(redrive)})
    await sqs.create_queue(QueueName=f"{name}-reprocess")
    async with AsyncExitStack() as exits:
        line = Line(name, directory, services, History(directory / "history.jsonl"), exits)
        exits.callback(line.history.close)
        await line.define(name.replace("-", "_"), definition)
        try:
            yield line
        finally:
            for program in line.programs:
                program.close()
