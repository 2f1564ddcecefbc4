"""The whole service on fakes: the layers as app.py builds them, one journal, virtual time."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.core.clock import Deadline
from service.core.datasets import Dataset
from service.core.events import Event
from service.core.model import Attribute, Outgoing
from service.core.ports import Means, Queue
from service.settings import PROJECT, Settings
from service.wiring.build import build
from service.wiring.parts import Parts
from tests.fakes.journal import Crash, Journal
from tests.fakes.notifier import FakeNotifier
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.tables import Row
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock
from tests.fakes.warehouse import FakeWarehouse

DEFINITION = """
key = ["event_id"]
event_time = "event_time"
rest = "rest"
event_time_oldest = 2020-01-01

[[column]]
name = "event_id"
type = "varchar(32)"
required = true

[[column]]
name = "event_time"
type = "timestamp"
required = true

[[column]]
name = "amount"
type = "integer"
"""
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
QUEUES = ("records", "refine", "load")
REPROCESS = "reprocess"
SETTLE_SECONDS_MAX = 4_000.0
DRAIN_SECONDS_MAX = 100.0


@dataclass
class World:
    """What outlives a process: queues, objects, tables; and the journal of everything done to them."""

    datasets: dict[str, Dataset]
    journal: Journal = field(default_factory=Journal)
    events: list[Event] = field(default_factory=list)
    queues: dict[str, FakeQueue] = field(init=False)
    store: FakeStore = field(init=False)
    warehouse: FakeWarehouse = field(init=False)
    notifier: FakeNotifier = field(init=False)

    def open(self) -> None:
        """Make the stores; inside a running loop, because queues wake each other."""
        names = [name for queue in QUEUES for name in (queue, f"{queue}-dlq")] + [REPROCESS]
        self.queues = {name: FakeQueue(name, self.journal) for name in names}
        self.store = FakeStore(self.journal)
        self.notifier = FakeNotifier(self.journal)
        self.warehouse = FakeWarehouse(self.journal, self.store, self.datasets.values())

    def send(self, *records: object, dataset: str | None = "events") -> None:
        """One message of NDJSON; text goes as it is."""
        body = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
        attributes = {"dataset": Attribute("String", dataset)} if dataset is not None else {}
        self.queues["records"].put(Outgoing(body, attributes))

    def settled(self) -> bool:
        """Whether the working queues are empty."""
        return not any(len(self.queues[name]) for name in QUEUES)

    def letters(self, queue: str) -> list[dict[str, Any]]:
        """The dead letters behind a queue."""
        return [json.loads(body) for body in self.queues[f"{queue}-dlq"].bodies]

    def event_ids(self) -> list[str]:
        """What the warehouse holds, sorted."""
        return sorted(row["event_id"] for row in self.rows())

    def rows(self) -> list[Row]:
        """The table."""
        return self.warehouse.rows("events")


def event(number: int, *, day: int = 1, **more: object) -> dict[str, object]:
    """A good record."""
    return {"event_id": f"e{number:03d}", "event_time": f"2025-12-{day:02d}T10:00:00Z", **more}


def settings(**changed: object) -> Settings:
    """Small limits, the fakes' queue names."""
    values: dict[str, object] = {
        "layers": ("land", "refine", "load"),
        "records_queue": "records",
        "refine_queue": "refine",
        "load_queue": "load",
        "records_dead_queue": "records-dlq",
        "refine_dead_queue": "refine-dlq",
        "load_dead_queue": "load-dlq",
        "reprocess_queue": REPROCESS,
        "raw_zone": "s3://raw",
        "refined_zone": "s3://refined",
        "errors_zone": "s3://errors",
        "warehouse_dsn": "postgresql://nobody@localhost:5439/none",
        "copy_role_arn": "arn:aws:iam::123456789012:role/copy",
        "identity_key": KEY,
        "mask_key": KEY,
        "sql_directory": PROJECT / "sql",
        "land_pollers": 1,
        "land_batch_seconds_max": 5,
        "refine_batch_seconds_max": 1,
        "load_batch_seconds_max": 5,
        "load_copy_interval_seconds": 0,
        "quarantine_batch_seconds_max": 5,
        "visibility_seconds": 120,
        "retry_seconds_max": 8,
    }
    return Settings(**(values | changed))  # type: ignore[arg-type]


async def live(world: World, until: Callable[[], bool] | None = None, **changed: object) -> None:
    """One life of the process: run until the condition holds (by default: queues empty), then drain.

    A crash ends it at once: whatever it still tries to do to the world afterwards fails too.
    """
    configured = settings(**changed)
    means = Means(world.store, InlineThreads(), InlineFanOut(), LoopClock(), world.events.append)
    queues: dict[str, Queue] = dict(world.queues)
    parts = Parts(configured, world.datasets, queues, world.warehouse, means, world.notifier)
    workers = [worker for _, worker in build(parts)]
    tasks = [asyncio.ensure_future(worker.run()) for worker in workers]
    wanted = until if until is not None else world.settled
    try:
        async with asyncio.timeout(SETTLE_SECONDS_MAX):
            while not wanted() and not any(task.done() for task in tasks):  # noqa: ASYNC110 (virtual time)
                await asyncio.sleep(0.5)
        for worker in workers:
            worker.drain(Deadline.after(DRAIN_SECONDS_MAX, means.clock))
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def crashes(error: BaseException) -> bool:
    """Whether the process died of the arranged crash and of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(crashes(one) for one in error.exceptions)
    return isinstance(error, Crash)
