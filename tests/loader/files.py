"""Refined files as refine writes them, good ones and bad ones, and the notices about them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from service.aws.clients import AwsClient
from service.aws.s3 import S3Store
from service.core.columns import ColumnType
from service.core.datasets import SYSTEM_COLUMNS
from service.core.notice import File, FileNotice, Replaces
from service.core.zones import Zone, raw_key, refined_key, split_uri
from service.refine.write import PARTITION_COLUMN, Part, parts

BUCKET = "loader"
RAW, REFINED, ERRORS = (Zone(name, BUCKET, name) for name in ("raw", "refined", "errors"))
LANDED = datetime(2026, 3, 20, 8, tzinfo=UTC)
EVENT_TIME = "event_time"

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
name = "revision"
type = "bigint"
required = true

[[column]]
name = "amount"
type = "decimal(12,2)"

[[column]]
name = "note"
type = "varchar(20)"
"""

Fault = Literal["missing", "another", "miscounted", "too_long", "broken_json", "null"]
CODES: Mapping[Fault, str] = {
    "missing": "missing_object",
    "another": "bad_file",
    "miscounted": "load_refused",
    "too_long": "load_refused",
    "broken_json": "load_refused",
    "null": "load_refused",
}
"""What can be wrong with a file, and the code of its dead letter."""
SECRET = "ES9121000418450200051332"
"""A value that no sentence and no log may quote; longer than a note may be."""
IN_A_ROW: Mapping[Fault, Mapping[str, Any]] = {
    "too_long": {"note": SECRET},
    "broken_json": {"rest": '{"account": "' + SECRET},
    "null": {"revision": None},
}
"""Those that one row is to blame for, and what it holds: COPY refuses the first, the INSERT the others."""


@dataclass(frozen=True)
class Shape:
    """The columns of files, in order, under one definition."""

    definition: str
    columns: tuple[tuple[str, str], ...]


def shape(*columns: tuple[str, str]) -> Shape:
    """Files with these columns and ours behind them."""
    whole = (*columns, *SYSTEM_COLUMNS)
    return Shape(hashlib.sha256(repr(whole).encode()).hexdigest()[:12], whole)


_ID, _TIME, _REVISION = ("event_id", "varchar(32)"), ("event_time", "timestamp"), ("revision", "bigint")
_AMOUNT, _NOTE, _REST = ("amount", "decimal(12,2)"), ("note", "varchar(20)"), ("rest", "super")
TODAY = shape(_ID, _TIME, _REVISION, _AMOUNT, _NOTE, _REST)
SHAPES = (
    TODAY,
    shape(_NOTE, _REST, _ID, _AMOUNT, _REVISION, _TIME),
    shape(_ID, _TIME, _REVISION, _NOTE, _REST),
    shape(("event_id", "varchar(8)"), _TIME, ("revision", "integer"), ("amount", "decimal(9,2)"), _NOTE, _REST),
)
"""Today's columns; the same in another order; one fewer; narrower types. The table takes them all."""


REPLAYS = tuple(Shape(f"{number:012x}", how.columns) for number, how in enumerate((*SHAPES[1:], TODAY), start=1))
"""Later definitions, under which raw files are refined again."""


@dataclass(frozen=True)
class Event:
    """One record as refine made it. Its day follows from its number: event time is a fact about the record.

    `mapping` tells under which definition it was refined: a replay changes values, never an identity.
    """

    number: int
    revision: int = 1
    mapping: int = 0

    @property
    def event_id(self) -> str:
        """Its key."""
        return f"e{self.number}"

    @property
    def record_id(self) -> str:
        """Its identity, a hash of the key."""
        return hashlib.sha256(self.event_id.encode()).hexdigest()

    @property
    def partition(self) -> str:
        """The partition that it belongs to."""
        return f"dt=2026-03-{1 + self.number % 2:02d}"

    def values(self, batch: "Batch") -> dict[str, Any]:
        """Its columns. Each revision has other values, and those that SQL would read twice."""
        return {
            "event_id": self.event_id,
            "event_time": datetime(2026, 3, 1 + self.number % 2, 23, 59, 59, 999_999 - self.revision),  # noqa: DTZ001
            "revision": self.revision,
            "amount": Decimal(self.revision) / 4,
            "note": f"'\\\"--;ü€ {self.revision}.{self.mapping}",
            "rest": json.dumps({"o'clock": ["\\", {"é": self.revision}]}),
            "_record_id": self.record_id,
            "_received_at": batch.landed_at.replace(tzinfo=None),
            "_raw_file": batch.raw_file,
        }


@dataclass(frozen=True)
class Batch:
    """A landed batch: what its files are named after."""

    dataset: str
    number: int

    @property
    def landed_at(self) -> datetime:
        """Later batches landed later."""
        return LANDED + timedelta(seconds=self.number)

    @property
    def batch_id(self) -> str:
        """In the shape that sealing gives it."""
        return f"{self.landed_at:%Y%m%dT%H%M%S}000Z-{self.number:016x}"

    @property
    def raw_file(self) -> str:
        """Where its raw file would lie."""
        return RAW.uri(raw_key(self.dataset, self.landed_at, self.batch_id))


class Lake:
    """Stores the files of batches, and announces them."""

    def __init__(self, store: S3Store, s3: AwsClient) -> None:
        self._store = store
        self._s3 = s3

    async def refined(
        self, batch: Batch, events: Sequence[Event], how: Shape = TODAY, faults: Mapping[str, Fault] | None = None
    ) -> list[File]:
        """The files of a batch, one a partition; `faults` says what is wrong with which partition's."""
        wrong = faults or {}
        rows = [event.values(batch) | {PARTITION_COLUMN: event.partition} for event in events]
        rows += [_bad_row(batch, partition, fault) for partition, fault in wrong.items() if fault in IN_A_ROW]
        rows.sort(key=lambda row: str(row[PARTITION_COLUMN]))
        table = pa.Table.from_pylist(rows, schema=_schema(how))
        return [await self._stored(batch, part, how, wrong.get(part.partition)) for part in parts(table, EVENT_TIME)]

    async def _stored(self, batch: Batch, part: Part, how: Shape, fault: Fault | None) -> File:
        uri = REFINED.uri(refined_key(batch.dataset, part.partition, batch.batch_id, how.definition))
        stored = await self._store.put_new(uri, part.body)
        file = File(uri, stored.etag, stored.content_length_bytes, part.rows, part.event_time_min, part.event_time_max)
        match fault:
            case "missing":
                await self.remove(uri)
            case "another":
                await self.remove(uri)
                await self._store.put_new(uri, part.body[::-1])
            case "miscounted":
                return replace(file, rows=file.rows + 1)
        return file

    async def remove(self, uri: str) -> None:
        """Delete an object, as somebody with a console might."""
        bucket, key = split_uri(uri)
        await self._s3.delete_object(Bucket=bucket, Key=key)

    async def lies(self, uri: str) -> bool:
        """Whether there is an object."""
        return await self._store.describe(uri) is not None


def notice(batch: Batch, files: Sequence[File], how: Shape = TODAY) -> FileNotice:
    """What refine announces."""
    return _notice(batch, files, how, batch.landed_at, None)


def replay(batch: Batch, files: Sequence[File], how: Shape, old: Sequence[str], *, number: int = 1) -> FileNotice:
    """What a replay announces, the later the higher its number: these files go in the place of the old ones."""
    produced_at = batch.landed_at + timedelta(hours=number)
    return _notice(batch, files, how, produced_at, Replaces(batch.raw_file, tuple(old)))


def _notice(
    batch: Batch, files: Sequence[File], how: Shape, produced_at: datetime, replaces: Replaces | None
) -> FileNotice:
    return FileNotice(
        dataset=batch.dataset,
        zone=REFINED.name,
        files=files,
        columns=how.columns,
        batch_id=batch.batch_id,
        definition=how.definition,
        produced_at=produced_at,
        replaces=replaces,
    )


def _bad_row(batch: Batch, partition: str, fault: Fault) -> dict[str, Any]:
    """A record that no other file has: a duplicate would be dropped before anybody looks at its values."""
    odd = partition == Event(1).partition
    row = Event(1000 + 2 * batch.number + odd).values(batch) | {PARTITION_COLUMN: partition}
    return {**row, **IN_A_ROW[fault]}


def _schema(how: Shape) -> pa.Schema:
    return pa.schema(
        [*((name, _arrow_type(written)) for name, written in how.columns), (PARTITION_COLUMN, pa.string())]
    )


def _arrow_type(written: str) -> pa.DataType:
    kind = ColumnType.parse(written)
    match kind.kind:
        case "decimal":
            return pa.decimal128(kind.precision, kind.scale)
        case "timestamp":
            return pa.timestamp("us")
        case "varchar" | "super":
            return pa.string()
    return {"integer": pa.int32(), "bigint": pa.int64()}[kind.kind]
