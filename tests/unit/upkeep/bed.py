"""Replay and reconcile on the fakes of `tests/fakes`: their questions answered, error rows laid down."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.ports import Session, Statement
from service.core.zones import Zone, batch_of, refined_key
from service.load.statements import Statements, literal
from service.load.tables import ledger, target
from service.refine.open import open_bodies
from service.settings import PROJECT
from service.upkeep.books import QUESTIONS, Sql
from service.upkeep.days import Days
from service.upkeep.reconcile import Day, Figures, Reconcile
from service.upkeep.repair import Mended, Repair
from service.upkeep.replay import Step
from service.upkeep.tools import IN_FLIGHT, Held, Tools
from tests.fakes.time import InlineThreads, LoopClock
from tests.fakes.warehouse import FakeWarehouse
from tests.fakes.world import DEFINITION, World, event, live

RAW, REFINED, LAKE_ERRORS = Zone("raw", "raw", ""), Zone("refined", "refined", ""), Zone("errors", "errors", "")
TODAY = "2026-01-01"
"""The fakes' epoch."""
MENDED = DEFINITION.replace('name = "amount"', 'name = "amount"\npath = "euros"')
DAYS = Days.parse(TODAY, TODAY)
LONG_AFTER = IN_FLIGHT.total_seconds() + 60
BAD = {"event_id": "x", "event_time": "2025-12-01T10:00:00Z", "amount": "many"}


def held(raw: bytes) -> Held:
    """What refine would open of a raw file."""
    try:
        landed = pq.read_table(pa.BufferReader(raw), columns=["message_id", "body"])
    except (pa.ArrowException, OSError, KeyError):
        raise RejectedError("bad_file", "the raw object is not readable as Parquet") from None
    opened = open_bodies(landed.column("body").to_pylist())
    records = Counter(opened.rows) + Counter(row for row, _, _ in opened.wrong)
    return Held(landed.column("message_id").to_pylist(), [records[row] for row in range(landed.num_rows)])


def sql() -> Sql:
    """The statements, as the service renders them."""
    statements = Statements.load(PROJECT / "sql" / "statements" / "upkeep.sql", expected=QUESTIONS)
    return Sql(statements, literal, lambda dataset: (ledger(dataset.name), target(dataset)))


@dataclass
class AnsweringWarehouse:
    """The fake, which does not know these questions: here they are answered from what it has committed."""

    fake: FakeWarehouse
    dataset: str

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self.fake.transaction() as session:
            yield _Answering(self, session)

    async def run(self, statement: Statement) -> None:
        await self.fake.run(statement)

    def answer(self, statement: Statement) -> list[tuple[Any, ...]]:
        """What the statement means."""
        rows, entries = self.fake.rows(self.dataset), self.fake.ledger_rows(self.dataset)
        quoted = statement.text.split("'")[1::2]
        match statement.name:
            case "booked":
                day = quoted[0].removesuffix("%")
                return [(*e[:1], *e[2:7], *e[10:12]) for e in entries if batch_of(e[0]).startswith(day)]
            case "table_rows":
                mine = Counter(row["_raw_file"] for row in rows if row["_raw_file"].startswith(quoted[0]))
                return [*mine.items()]
            case "twice":
                ids = Counter(row["_record_id"] for row in rows)
                mine_ids = {row["_record_id"] for row in rows if row["_raw_file"].startswith(quoted[0])}
                return [(sum(ids[one] > 1 for one in mine_ids),)]
            case _:
                unit, since = ({"minute": 0} if quoted[1] == "hour" else {}), datetime.fromisoformat(quoted[0])
                together: Counter[datetime] = Counter()
                for entry in entries:
                    if entry[8] >= since:
                        together[entry[8].replace(second=0, microsecond=0, **unit)] += entry[2]
                return [(max(together.values(), default=None),)]


@dataclass
class _Answering:
    warehouse: AnsweringWarehouse
    session: Session

    async def execute(self, statement: Statement) -> None:
        await self.session.execute(statement)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        if statement.name not in QUESTIONS:
            return await self.session.fetch(statement)
        self.warehouse.fake.journal.before(f"warehouse {statement.name}")
        return self.warehouse.answer(statement)


def tools(world: World, dataset: str = "events") -> Tools:
    """What the commands would open."""
    return Tools(
        datasets=world.datasets,
        store=world.store,
        raw=RAW,
        refined=REFINED,
        errors=LAKE_ERRORS,
        warehouse=AnsweringWarehouse(world.warehouse, dataset),
        sql=sql(),
        refine_queue=world.queues["refine"],
        load_queue=world.queues["load"],
        dead={"land": world.queues["records-dlq"], "refine": world.queues["refine-dlq"]},
        count=held,
        threads=InlineThreads(),
        clock=LoopClock(),
    )


async def reconciled(world: World, first: str = TODAY, last: str = TODAY) -> list[Day]:
    """What reconcile says; every figure's difference is the sum of its findings."""
    found = [day async for day in Reconcile(tools(world), "events", Days.parse(first, last), in_flight=IN_FLIGHT).run()]
    for day in found:
        assert differences(day.figures) == {
            equation: sum(one.count for one in day.findings if one.equation == equation)
            for equation in ("raw", "refined", "table")
        }
    return found


def differences(one: Figures) -> dict[str, int]:
    """Left side less right side of the three equations."""
    return {
        "raw": one.records - one.refined_rows - one.rejected,
        "refined": one.refined_rows - one.loaded,
        "table": one.brought - one.table_rows,
    }


def kinds(days: Iterable[Day]) -> list[tuple[str, int]]:
    """Kind and count of every finding."""
    return sorted((finding.kind, finding.count) for day in days for finding in day.findings)


def quarantined(world: World, *, state: str = "open", hours: float = 0, after: str = "") -> int:
    """Every letter about records behind the refine queue as rows of an errors file; gives how many rows."""
    moment = LoopClock().now() + timedelta(hours=hours)
    rows = [
        error_row(letter["error_id"] + str(place) + after, letter["raw_file"], place, moment, state=state)
        for letter in world.letters("refine")
        for place in letter.get("places", ())
    ]
    lay_errors(world, rows, moment)
    return len(rows)


def error_row(
    error_id: str, raw_file: str | None, place: Sequence[int | None], moment: datetime, **more: object
) -> dict[str, object]:
    """A row of the errors dataset."""
    told = {name: None for name, _ in ERRORS.stored_columns} | {
        "error_id": error_id,
        "layer": "refine",
        "dataset": "events",
        "raw_file": raw_file,
        "row_index": place[0],
        "record_index": place[1],
        "first_failed_at": naive(moment),
        "last_failed_at": naive(moment),
        "updated_at": naive(moment),
        "_received_at": naive(moment),
        "attempts": 1,
        "state": "open",
    }
    return told | more


def lay_errors(world: World, rows: Sequence[dict[str, object]], moment: datetime) -> None:
    """A file of the errors dataset, as the quarantine layer writes it."""
    kinds_of = {"bigint": pa.int64(), "integer": pa.int32(), "timestamp": pa.timestamp("us")}
    schema = pa.schema([(name, kinds_of.get(kind, pa.string())) for name, kind in ERRORS.stored_columns])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink)
    batch = f"{moment:%Y%m%dT%H%M%S}{len(world.store.objects):03d}Z-{0:016x}"
    key = refined_key(ERRORS.name, f"dt={moment:%Y-%m-%d}", batch, "0" * 12)
    world.store.objects[LAKE_ERRORS.uri(key)] = bytes(sink.getvalue())


def naive(moment: datetime) -> datetime:
    """As Parquet files have it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def raw_uris(world: World, dataset: str = "events") -> list[str]:
    """The raw files."""
    return sorted(uri for uri in world.store.objects if uri.startswith(f"s3://raw/{dataset}/"))


def refined_uris(world: World, dataset: str = "events") -> list[str]:
    """The refined files."""
    return sorted(uri for uri in world.store.objects if uri.startswith(f"s3://refined/{dataset}/"))


def definition(directory: Path, text: str) -> dict[str, Dataset]:
    """Definitions with these events."""
    (directory / "events.toml").write_text(text)
    return load_datasets(directory)


async def landed(world: World, files: int, *, loaded: bool = True) -> None:
    """So many raw files of two records on two days of events each, and time enough for nothing to be in flight."""
    for number in range(files):
        world.send(event(10 * number, amount=1, euros=10), event(10 * number + 1, day=2, amount=2, euros=20))
        await live(world, lambda: not len(world.queues["records"]), layers=("land",))
    if loaded:
        await live(world)
    await LoopClock().sleep(LONG_AFTER)


def amounts(world: World) -> list[int]:
    return sorted(row["amount"] for row in world.rows())


async def taken(steps: AsyncIterator[Step]) -> list[str]:
    return [step.fate async for step in steps]


async def mended(world: World) -> list[Mended]:
    """What a repair of today does."""
    days = await reconciled(world)
    repair = Repair(tools(world), "events")
    return [one for day in days for finding in [day.findings] async for one in repair.run(finding)]
