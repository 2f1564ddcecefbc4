"""Error rows: what failed, as Parquet files of the errors dataset, one a day, in the shape that Redshift's COPY takes.

The same batch gives the same bytes: every moment in them is the failure's own or the batch's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from service.core.columns import ColumnType
from service.core.errors_dataset import ERRORS
from service.core.moments import naive
from service.core.zones import Zone, refined_key
from service.quarantine.arrivals import Failure
from service.quarantine.records import Block

_TYPES = {"varchar": pa.string(), "timestamp": pa.timestamp("us"), "integer": pa.int32(), "bigint": pa.int64()}
SCHEMA = pa.schema([(name, _TYPES[ColumnType.parse(written).kind]) for name, written in ERRORS.stored_columns])
LENGTHS: Mapping[str, int] = {column.name: column.type.length for column in ERRORS.columns if column.type.length}
"""Bytes that the table takes."""


@dataclass(frozen=True, slots=True)
class ErrorFile:
    """Error rows of one day, not yet stored. Moments are UTC."""

    uri: str
    body: bytes
    rows: int
    event_time_min: datetime
    event_time_max: datetime


class ErrorRows:
    """The error rows of one batch on their way into files; at most a block of them is in memory uncompressed."""

    def __init__(self, zone: Zone, *, batch_id: str, sealed_at: datetime, originals_uri: str) -> None:
        self._zone = zone
        self._batch_id = batch_id
        self._sealed_at = sealed_at
        self._originals_uri = originals_uri
        self._days: dict[date, _Day] = {}

    def add(self, block: Block) -> None:
        """Take the block's rows; those about error files themselves make none. Work for a thread."""
        for day, numbers in _by_day(block):
            uri = self._zone.uri(refined_key(ERRORS.name, f"dt={day.isoformat()}", self._batch_id, ERRORS.definition))
            self._days.setdefault(day, _Day(uri)).add(self._table(block, numbers, uri), block, numbers)

    def close(self) -> list[ErrorFile]:
        """The files, by day."""
        return [day.close() for _, day in sorted(self._days.items())]

    def _table(self, block: Block, numbers: Sequence[int], uri: str) -> pa.Table:
        told = pa.array([block.of[n] for n in numbers], pa.int32())
        columns = {name: _array(name, values).take(told) for name, values in _facts(block.failures).items()}
        columns |= {name: _array(name, values) for name, values in self._own(block, numbers).items()}
        columns |= {
            "state": pa.repeat("open", len(numbers)),
            "_received_at": pa.repeat(pa.scalar(naive(self._sealed_at), pa.timestamp("us")), len(numbers)),
            "_raw_file": pa.repeat(uri, len(numbers)),
        }
        columns["_record_id"] = columns["error_id"]
        return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)

    def _own(self, block: Block, numbers: Sequence[int]) -> Mapping[str, Sequence[object]]:
        """What each row has for itself."""
        places = [block.places[n] for n in numbers]
        bodies = [block.bodies[n] for n in numbers]
        stored = [block.original_uris[n] for n in numbers]
        return {
            "error_id": [block.error_ids[n] for n in numbers],
            "row_index": [None if place is None else place[0] for place in places],
            "record_index": [None if place is None else place[1] for place in places],
            "message_id": [clean(block.message_ids[n], LENGTHS["message_id"]) for n in numbers],
            "size_bytes": [None if body is None else len(body) for body in bodies],
            "preview": [block.previews[n] for n in numbers],
            "original_uri": [
                there if body is None else self._originals_uri for there, body in zip(stored, bodies, strict=True)
            ],
        }


class _Day:
    """One day's file."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink, SCHEMA, compression="snappy", coerce_timestamps="us", store_schema=False
        )
        self._rows = 0
        self._bounds: list[datetime] = []

    def add(self, rows: pa.Table, block: Block, numbers: Sequence[int]) -> None:
        self._writer.write_table(rows)
        self._rows += len(numbers)
        moments = [block.failures[number].first_failed_at for number in {block.of[n] for n in numbers}]
        self._bounds = [min(self._bounds[:1] + moments), max(self._bounds[1:] + moments)]

    def close(self) -> ErrorFile:
        self._writer.close()
        earliest, latest = self._bounds
        return ErrorFile(self._uri, bytes(self._sink.getvalue()), self._rows, earliest, latest)


def _by_day(block: Block) -> Iterator[tuple[date, list[int]]]:
    days = [None if failure.about_errors else failure.first_failed_at.date() for failure in block.failures]
    told = sorted((day, n) for n, of in enumerate(block.of) if (day := days[of]) is not None)
    for day, group in groupby(told, key=lambda one: one[0]):
        yield day, [n for _, n in group]


def _facts(failures: Sequence[Failure]) -> Mapping[str, Sequence[object]]:
    """What all rows of a failure share. A row's version is the moment of its last failure: of two reports of the same
    failure neither counts as news, and whoever settles it later is later than it.
    """
    return {
        "fingerprint": [failure.fingerprint for failure in failures],
        "layer": [failure.layer for failure in failures],
        "dataset": [failure.dataset or None for failure in failures],
        "code": [failure.code for failure in failures],
        "sentence": [clean(failure.sentence, LENGTHS["sentence"]) for failure in failures],
        "field": [clean(failure.field, LENGTHS["field"]) for failure in failures],
        "raw_file": [failure.raw_file or failure.about_file for failure in failures],
        "first_failed_at": [naive(failure.first_failed_at) for failure in failures],
        "last_failed_at": [naive(failure.last_failed_at) for failure in failures],
        "attempts": [failure.attempts for failure in failures],
        "updated_at": [naive(failure.last_failed_at) for failure in failures],
        "round_id": [clean(failure.round_id, LENGTHS["round_id"]) or None for failure in failures],
    }


def _array(name: str, values: Sequence[object]) -> pa.Array:
    return pa.array(values, SCHEMA.field(name).type)


def clean(text: str | None, bytes_max: int = 65_535) -> str | None:
    """Text as files and tables take it: no halves of surrogate pairs, no NUL, no more bytes than that."""
    if text is None or (text.isascii() and len(text) <= bytes_max and "\0" not in text):
        return text
    return text.replace("\0", "").encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")
