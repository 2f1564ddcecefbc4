"""`acequia run`, the container's process: its settings, probes, signals, outages, and several side by side."""

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from service.aws.redshift import read_as_text
from service.aws.sqs import queue_url
from service.core.definitions import load_datasets
from service.core.model import Outgoing
from service.local.feed import messages
from service.local.ports import HOST, free_port
from service.local.provision import LocalAws, create_tables, open_aws
from service.local.samples.loans import loan_events
from service.settings import FLOW
from tests.stack.conftest import PROJECT, Program, Starter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(90)]

WAIT_SECONDS_MAX = 45
LAYERS = ("records", "refine", "load")
Environment = dict[str, str]
NO_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Keeps what the machine at hand may know of AWS out of it."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """The backing services, and the environment that a worker beside them needs."""
    starter = Starter(tmp_path_factory.mktemp("stack"))
    try:
        program = starter("local", "--stack-only", "--env-file", "stack.env")
        program.until("keep running")
        written = (starter.directory / "stack.env").read_text()
        yield dict(line.split("=", 1) for line in written.splitlines())
    finally:
        starter.stop()


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Numbers that no other test has."""
    return itertools.count(1)


@dataclass(frozen=True)
class Line:
    """A queue for each layer, a dataset and its table, all of the test's own."""

    name: str
    environment: Environment
    aws: LocalAws

    async def send(self, some: Sequence[Outgoing]) -> None:
        """What a producer does."""
        queue = await self.aws.queue(f"{self.name}-records")
        await queue.send(some)

    async def depth(self, queue: str) -> tuple[int, int]:
        """Messages that wait, and messages that somebody holds."""
        url = await queue_url(self.aws.sqs, f"{self.name}-{queue}")
        given = (await self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        return int(given["ApproximateNumberOfMessages"]), int(given["ApproximateNumberOfMessagesNotVisible"])

    async def left(self) -> int:
        """Messages in the working queues."""
        return sum([sum(await self.depth(queue)) for queue in LAYERS])

    async def dead(self) -> int:
        """Messages in the dead-letter queues."""
        return sum([sum(await self.depth(f"{queue}-dlq")) for queue in LAYERS])

    async def ask(self, sql: str) -> tuple[Any, ...]:
        """The only row of a query; `{table}` and `{ledger}` are this line's."""
        connection = await asyncpg.connect(self.environment["ACEQUIA_WAREHOUSE_DSN"], statement_cache_size=0)
        await read_as_text(connection)
        try:
            places = {"table": f"lake.{self._dataset}", "ledger": f"acequia.load_ledger_{self._dataset}"}
            [row] = await connection.fetch(sql.format(**places))
            return tuple(row)
        finally:
            await connection.close()

    async def rows(self) -> int:
        """Rows in the table."""
        [count] = await self.ask("SELECT COUNT(*) FROM {table}")
        return int(count)

    def events(self, lines: Sequence[str], *, records_per_message: int) -> list[Outgoing]:
        """Messages with these records."""
        source = (line.encode() for line in lines)
        made = messages(source, dataset=self._dataset, records_per_message=records_per_message)
        return [message for message, _ in made]

    @property
    def _dataset(self) -> str:
        return self.name.replace("-", "_")


@pytest_asyncio.fixture
async def line(stack: Environment, tmp_path: Path, numbers: Iterator[int]) -> AsyncIterator[Line]:
    """Queues with dead letters behind them, and the loan events' definition under another name."""
    name = f"loans-{next(numbers)}"
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    shutil.copy(PROJECT / "datasets" / "loan_events.toml", definitions / f"{name.replace('-', '_')}.toml")
    await create_tables(stack["ACEQUIA_WAREHOUSE_DSN"], PROJECT / "sql", load_datasets(definitions))
    environment = {**stack, "ACEQUIA_LAYERS": ",".join(FLOW), "ACEQUIA_DATASETS_DIRECTORY": str(definitions)}
    async with open_aws(stack["AWS_ENDPOINT_URL"]) as aws:
        for queue in LAYERS:
            dead = await aws.sqs.create_queue(QueueName=f"{name}-{queue}-dlq")
            arn = await aws.sqs.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
            redrive = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": 5}
            await aws.sqs.create_queue(QueueName=f"{name}-{queue}", Attributes={"RedrivePolicy": json.dumps(redrive)})
            environment[f"ACEQUIA_{queue.upper()}_QUEUE"] = f"{name}-{queue}"
            environment[f"ACEQUIA_{queue.upper()}_DEAD_QUEUE"] = f"{name}-{queue}-dlq"
        yield Line(name, environment, aws)


class TestAMistakeInTheSetUpGetsOneLineAndExitCode2:
    """Before anything is received. A setting that is empty here is not set at all."""

    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"ACEQUIA_MASK_KEY": ""}, "ACEQUIA_MASK_KEY is not set: base64 of 32 random bytes"),
            ({"ACEQUIA_POLL_SECONDS": "soon"}, "ACEQUIA_POLL_SECONDS holds 'soon': input should be a valid integer"),
            ({"ACEQUIA_IDENTITY_KEY": "c2hvcnQ="}, "ACEQUIA_IDENTITY_KEY holds a secret: must be base64 of at least"),
            ({"ACEQUIA_LAND_BATCH_SECONDS_MAX": "600"}, "ACEQUIA_VISIBILITY_SECONDS is 70, but the slowest .* 662"),
            (
                {"ACEQUIA_POLL_SECOND": "1"},
                r"ACEQUIA_POLL_SECOND is not a setting: did you mean ACEQUIA_POLL_SECONDS\?",
            ),
            ({"ACEQUIA_DATASETS_DIRECTORY": "absent"}, ".*absent"),
            ({"ACEQUIA_SQL_DIRECTORY": "absent"}, "absent.*ACEQUIA_SQL_DIRECTORY must name"),
            (
                {"ACEQUIA_REFINE_QUEUE": "nobodys"},
                "ACEQUIA_REFINE_QUEUE holds 'nobodys': .*queue does not exist",
            ),
            (
                {"ACEQUIA_REFINE_QUEUE": "nobodys", "ACEQUIA_LOAD_QUEUE": "nobodys-too"},
                "ACEQUIA_(REFINE|LOAD)_QUEUE holds 'nobodys(-too)?': sqs: .*the queue does not exist",
            ),
            ({"ACEQUIA_WAREHOUSE_DSN": "cluster.example:5439"}, "ACEQUIA_WAREHOUSE_DSN holds a secret: "),
            ({"ACEQUIA_REFINE_QUEUE": "acequia-load"}, "ACEQUIA_LOAD_QUEUE and ACEQUIA_REFINE_QUEUE both hold"),
            (
                {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", **NO_AWS},
                "sqs: no AWS credentials to find the queue .*: give the task a role",
            ),
            ({"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", **NO_AWS}, "no AWS region: set AWS_REGION"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_of_the_environment(
        self, start: Starter, stack: Environment, changed: Mapping[str, str], sentence: str
    ) -> None:
        environment = {name: value for name, value in {**stack, **changed}.items() if value}
        text = _refused(start("run", **environment))
        assert re.match(f"acequia: {sentence}", text), text
        assert not any(secret in text for name, secret in changed.items() if name.endswith("_KEY") and secret)

    def test_of_a_dataset(self, start: Starter, stack: Environment) -> None:
        (start.directory / "broken").mkdir()
        (start.directory / "broken" / "events.toml").write_text('[[column]]\nname = "id"\ntype = "int"\n')
        text = _refused(start("run", **{**stack, "ACEQUIA_DATASETS_DIRECTORY": "broken"}))
        assert re.match(r"acequia: .*broken/events.toml: column 'id': type 'int' is not known; use one of", text), text

    def test_of_a_port_that_is_taken(self, start: Starter, stack: Environment) -> None:
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            port = taken.getsockname()[1]
            text = _refused(start("run", **{**stack, "ACEQUIA_HTTP_PORT": str(port)}))
        assert text.startswith(f"acequia: ACEQUIA_HTTP_HOST holds '{HOST}' and ACEQUIA_HTTP_PORT {port}: cannot"), text


async def test_a_worker_serves_probes_and_metrics_and_says_what_it_does_in_json(start: Starter, line: Line) -> None:
    worker, url = _started(start, line.environment)
    assert await _get(f"{url}/livez") == (200, {"live": True})

    async def ready() -> bool:
        return await _get(f"{url}/readyz") == (200, {"ready": True, "reasons": {}})

    await _until(ready)
    records, _ = loan_events(applications=10, events=60)
    await line.send(line.events(list(records), records_per_message=7))

    async def loaded() -> bool:
        return await line.rows() == 60 and await line.left() == 0

    await _until(loaded)
    metrics = await _metrics(url)
    assert metrics["acequia_rows_inserted_total"] == metrics["acequia_records_refined_total"] == 60
    assert metrics["acequia_messages_landed_total"] == 9
    assert "acequia_rejected_total" not in metrics, "a labelled counter appears with its first count"
    assert {"process_cpu_seconds_total", "python_info", "acequia_batch_seconds_count"} <= set(metrics)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.finish() == 0
    said = [json.loads(text) for text in worker.lines]
    assert [one["event"] for one in said[:1] + said[-2:]] == ["service_started", "service_draining", "service_stopped"]
    assert all(one["timestamp"].endswith("Z") and one["level"] in ("info", "warning") for one in said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lands_the_open_batch_and_leaves_the_queue_empty(
    start: Starter, line: Line, number: signal.Signals
) -> None:
    worker = await _holding(start, line, 12, ACEQUIA_POLL_SECONDS="1")
    began = time.monotonic()
    worker.process.send_signal(number)
    assert worker.finish() == 0
    assert time.monotonic() - began < 10, "a poll, and a batch"
    closed = [one for one in map(json.loads, worker.lines) if one["event"] == "batch_closed"]
    assert [(one["layer"], one["reason"], one["messages"]) for one in closed] == [("land", "drain", 12)]
    assert [one["cause"] for one in map(json.loads, worker.lines) if "cause" in one] == [number.name]
    assert await line.depth("records") == (0, 0)
    assert await line.depth("refine") == (1, 0)
    assert await line.dead() == 0


async def test_a_second_signal_ends_the_worker_at_once_with_code_3_and_loses_nothing(
    start: Starter, line: Line
) -> None:
    worker = await _holding(start, line, 12, ACEQUIA_POLL_SECONDS="15", ACEQUIA_DRAIN_SECONDS_MAX="30")
    worker.process.send_signal(signal.SIGTERM)
    worker.until("service_draining")
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.finish() == 3, worker.text
    assert time.monotonic() - began < 10, "it does not wait for its polls"
    # How many wait and how many are held is not asserted: the emulator may hand a message to a poll that was given up.
    assert sum(await line.depth("records")) == 12
    assert await line.depth("refine") == (0, 0)


async def test_while_the_warehouse_is_away_nothing_is_dead_and_a_later_worker_loads_everything(
    start: Starter, line: Line
) -> None:
    away = f"postgresql://acequia@{HOST}:{free_port(0)}/acequia"
    first, url = _started(start, {**line.environment, "ACEQUIA_WAREHOUSE_DSN": away})
    records, _ = loan_events(applications=20, events=120)
    await line.send(line.events(list(records), records_per_message=10))

    async def paused() -> bool:
        away = "warehouse: could not connect (ConnectionRefusedError)"
        told = {"ready": False, "reasons": {"load": away, "warehouse": away}}
        return await _get(f"{url}/readyz") == (503, told)

    await _until(paused)
    assert (await _get(f"{url}/livez"))[0] == 200, "a restart would not mend the warehouse"

    async def tried() -> bool:
        return (await _metrics(url)).get("acequia_work_failures_total", 0) >= 3

    await _until(tried)
    first.process.send_signal(signal.SIGTERM)
    assert first.finish() == 0, first.text
    assert await line.dead() == 0
    assert await line.left() > 0
    second, url = _started(start, line.environment)

    async def loaded() -> bool:
        return await line.left() == 0

    await _until(loaded)
    assert await line.rows() == 120
    assert await line.dead() == 0
    assert await _get(f"{url}/readyz") == (200, {"ready": True, "reasons": {}})
    second.process.send_signal(signal.SIGTERM)
    assert second.finish() == 0


async def test_three_workers_side_by_side_load_each_record_once(start: Starter, line: Line) -> None:
    texts, answers = loan_events(applications=200, events=3_000)
    records = list(texts)
    once = line.events(records, records_per_message=20)
    again = line.events(records[::3], records_per_message=15)
    sent = len(records) + len(records[::3]) + 10 * 20
    small = {"ACEQUIA_LAND_BATCH_RECORDS_MAX": "12", "ACEQUIA_LOAD_BATCH_SECONDS_MAX": "0.5"}
    workers = _all_started(start, {**line.environment, **small}, 3)
    await line.send([*once, *again, *once[:10]])

    async def loaded() -> bool:
        return await line.left() == 0

    await _until(loaded)
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    assert [worker.finish() for worker in workers] == [0, 0, 0]
    assert sum('"file_landed"' in worker.text for worker in workers) >= 2, "one worker did everything"
    counted = await line.ask("SELECT COUNT(*), COUNT(DISTINCT event_id), COUNT(DISTINCT _record_id) FROM {table}")
    assert counted == (answers.rows, answers.rows, answers.rows) == (3_000, 3_000, 3_000)
    figures = await line.ask("SELECT SUM(row_count), SUM(inserted), SUM(duplicate), SUM(replaced) FROM {ledger}")
    assert tuple(map(int, figures)) == (sent, 3_000, sent - 3_000, 0)
    assert await line.dead() == 0


def _refused(program: Program) -> str:
    """The one line of a program that ended with code 2."""
    assert program.until("").startswith("acequia: "), program.text
    assert (program.finish(), len(program.lines)) == (2, 1), program.text
    return program.text


def _started(start: Starter, environment: Environment) -> tuple[Program, str]:
    """A worker that receives, and where it answers."""
    [worker] = _all_started(start, environment, 1)
    return worker, f"http://{HOST}:{json.loads(worker.lines[-1])['http_port']}"


def _all_started(start: Starter, environment: Environment, count: int) -> list[Program]:
    """Workers that receive; they start side by side."""
    workers = [start("run", **environment) for _ in range(count)]
    for worker in workers:
        worker.until("service_started")
    return workers


async def _holding(start: Starter, line: Line, count: int, **changed: str) -> Program:
    """A worker that lands, and holds that many messages in an open batch."""
    slow = {
        "ACEQUIA_LAYERS": "land",
        "ACEQUIA_LAND_BATCH_SECONDS_MAX": "1000",
        "ACEQUIA_VISIBILITY_SECONDS": "1200",
        "ACEQUIA_LOG_LEVEL": "debug",
        **changed,
    }
    worker, _ = _started(start, {**line.environment, **slow})
    records, _ = loan_events(applications=4, events=count)
    await line.send(line.events(list(records), records_per_message=1))

    async def held() -> bool:
        return await line.depth("records") == (0, count)

    await _until(held)
    received = 0
    while received < count:
        received += json.loads(worker.until("messages_received"))["messages"]
    return worker


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for other processes."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.json()


async def _metrics(url: str) -> dict[str, float]:
    """Samples by name, added up over their labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
