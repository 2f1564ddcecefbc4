"""The load layer as `wiring.py` builds it and its warehouse client, on the Redshift stand-in and emulated S3.

Two stand-ins stand before one warehouse, so that each of two loaders has faults and deaths of its own.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.aws.clients import Clients
from service.aws.redshift import WarehouseLimits, open_warehouse, read_as_text
from service.aws.s3 import S3Store
from service.core.clock import Deadline, SystemClock
from service.core.datasets import Dataset
from service.core.events import Event as Told
from service.core.model import Outgoing
from service.core.notice import FileNotice
from service.core.ports import Means, Warehouse
from service.load.tables import target
from service.local.emulator import emulated_aws
from service.local.ports import free_port
from service.local.postgres import OWNER, Postgres, postgres
from service.local.provision import REGION, create_tables
from service.local.redshift.server import Isolation, redshift_standin
from service.runtime import PooledFanOut, Worker
from service.settings import PROJECT
from service.wiring import parts
from service.wiring.build import build
from service.wiring.parts import Parts
from tests.contract.places import clients_of
from tests.fakes.time import InlineThreads
from tests.fakes.world import DRAIN_SECONDS_MAX, crashes, settings
from tests.loader.files import BUCKET, ERRORS, RAW, REFINED, Lake
from tests.loader.lives import Life, LivingQueue, LivingStore, Wire, WorldQueue

LOAD, DEAD = "load", "load-dlq"
RETRY_SECONDS = 0.01
UPLOADS_MAX = 8


@dataclass(frozen=True, slots=True)
class ShortLimits(WarehouseLimits):
    """`answer_seconds` is how long a client waits before it takes the warehouse for hung."""

    answer_seconds: float

    @property
    def answer_seconds_max(self) -> float:
        """Not the server's limit and ten seconds."""
        return self.answer_seconds


PATIENT = ShortLimits(connections_max=4, statement_seconds_max=20, answer_seconds=25.0)
HASTY = ShortLimits(connections_max=4, statement_seconds_max=20, answer_seconds=0.5)


@dataclass(frozen=True)
class Seat:
    """Where one loader sits: a stand-in of its own."""

    dsn: str
    wire: Wire


@dataclass(frozen=True)
class Stack:
    """What runs for all tests of this directory."""

    clients: Clients
    seats: tuple[Seat, Seat]
    warehouse: Postgres
    asking: asyncpg.Connection
    """The owner's connection, past every stand-in: what we ask is no step of anybody."""
    numbers: Iterator[int]

    @property
    def store(self) -> S3Store:
        """The store as `app.py` opens it."""
        return S3Store(self.clients.s3)

    @property
    def lake(self) -> Lake:
        """Where refined files come from."""
        return Lake(self.store, self.clients.s3)


@asynccontextmanager
async def opened_stack(directory: Path) -> AsyncIterator[Stack]:
    """Start it all.

    Snapshot isolation is what new clusters have, and the level at which nothing but the ledger's lock stands between
    two loaders.
    """
    wires, level = (Wire(), Wire()), Isolation.SNAPSHOT
    async with (
        emulated_aws(directory / "aws", free_port(0)) as endpoint,
        postgres(directory / "warehouse") as warehouse,
        redshift_standin(free_port(0), warehouse, endpoint, faults=wires[0], isolation=level) as one,
        redshift_standin(free_port(0), warehouse, endpoint, faults=wires[1], isolation=level) as other,
        clients_of(endpoint) as clients,
    ):
        await clients.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        asking = await warehouse.connect(user=OWNER)
        await read_as_text(asking)
        try:
            yield Stack(clients, (Seat(one, wires[0]), Seat(other, wires[1])), warehouse, asking, itertools.count(1))
        finally:
            await asking.close()


class World:
    """What outlives a loader: a queue and its dead letters, a table and its ledger."""

    def __init__(self, stack: Stack, dataset: Dataset) -> None:
        self.stack = stack
        self.dataset = dataset
        self.load, self.dead = WorldQueue(LOAD), WorldQueue(DEAD)

    def __repr__(self) -> str:
        return f"World of {self.dataset.name}"

    @classmethod
    async def new(cls, stack: Stack, dataset: Dataset) -> "World":
        """Empty tables and queues; nothing armed."""
        await create_tables(stack.seats[0].dsn, PROJECT / "sql", {dataset.name: dataset})
        world = cls(stack, dataset)
        await world.empty()
        return world

    async def empty(self) -> None:
        """Begin anew: no rows, no messages, nothing armed. Files stay; the next ones have names of their own."""
        self.load, self.dead = WorldQueue(LOAD), WorldQueue(DEAD)
        for seat in self.stack.seats:
            seat.wire.disarm()
        await self.stack.asking.execute(f'TRUNCATE {target(self.dataset)}, acequia."load_ledger_{self.dataset.name}"')

    def send(self, *notices: FileNotice | str) -> None:
        """Put notices on the load queue."""
        self.load.put(*(Outgoing(one if isinstance(one, str) else one.to_json()) for one in notices))

    async def live(
        self, life: Life | None = None, *, seat: int = 0, limits: WarehouseLimits = PATIENT, **changed: object
    ) -> Life:
        """One life of a loader: until it dies, or the queue is empty; then it drains."""
        life = life or Life()
        self.stack.seats[seat].wire.life = life
        try:
            dsn = self.stack.seats[seat].dsn
            async with open_warehouse(dsn, password=None, tls=False, limits=limits) as warehouse:
                await self._lived(self._worker(life, warehouse, changed), life)
        finally:
            self.stack.seats[seat].wire.life = None
        if life.died.is_set():
            self.load.give_back()
        return life

    async def _lived(self, worker: Worker, life: Life) -> None:
        running = asyncio.ensure_future(worker.run())
        try:
            await _first(running, life.died, self.load.emptied)
            life.ending.set()
            self.load.stirred.set()
            worker.drain(Deadline.after(DRAIN_SECONDS_MAX, SystemClock()))
            await _first(running, life.died)
        finally:
            running.cancel()
            [ended] = await asyncio.gather(running, return_exceptions=True)
        if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError) and not crashes(ended):
            raise ended

    def _worker(self, life: Life, warehouse: Warehouse, changed: Mapping[str, object]) -> Worker:
        limits: dict[str, object] = {"load_batch_seconds_max": 0.01, "poll_seconds": 1, "retry_seconds_max": 0.02}
        zones = {f"{zone.name}_zone": zone.uri("") for zone in (RAW, REFINED, ERRORS)}
        configured = settings(layers=("load",), **zones, **{**limits, **changed})
        means = Means(
            LivingStore(self.stack.store, life),
            InlineThreads(),
            PooledFanOut(UPLOADS_MAX),
            SystemClock(),
            life.events.append,
        )
        queues = {queue.name: LivingQueue(queue, life) for queue in (self.load, self.dead)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "RETRY_FIRST_SECONDS", RETRY_SECONDS)
            [(_, worker)] = build(Parts(configured, {self.dataset.name: self.dataset}, queues, warehouse, means))
        return worker

    async def rows(self) -> list[dict[str, Any]]:
        """The table."""
        return await self.asked(f"SELECT * FROM {target(self.dataset)} ORDER BY _record_id")

    async def ledger(self) -> list[dict[str, Any]]:
        """The ledger."""
        return await self.asked(f'SELECT * FROM acequia."load_ledger_{self.dataset.name}" ORDER BY uri')

    async def copies(self) -> list[dict[str, Any]]:
        """What the warehouse says about the COPYs of this dataset."""
        found = await self.asked("SELECT status, source_file_count, loaded_rows, data_source FROM sys_load_history")
        return [row for row in found if f"/_manifests/{self.dataset.name}/" in row["data_source"]]

    async def asked(self, sql: str) -> list[dict[str, Any]]:
        """Ask the warehouse, past every stand-in."""
        return [dict(row) for row in await self.stack.asking.fetch(sql)]

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters, each once: one that was sent again after a death has the same id."""
        found = [json.loads(body) for body in self.dead.bodies]
        return list({letter["error_id"]: letter for letter in found}.values())


def told(life: Life, *kinds: type[Told]) -> Sequence[Told]:
    """What a life told telemetry of these kinds."""
    return [event for event in life.events if isinstance(event, kinds)]


async def _first(running: asyncio.Future[None], *events: asyncio.Event) -> None:
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait([running, *waits], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
