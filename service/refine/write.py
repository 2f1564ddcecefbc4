"""A judged file → Parquet files, one a partition, in the shape that Redshift's COPY takes.

Snappy pages, timestamps in microseconds without a zone (they are UTC), decimals of at most 38 digits, no nested types.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PARTITION_COLUMN = "_partition"


@dataclass(frozen=True, slots=True)
class Part:
    """One partition's file, not yet stored."""

    partition: str
    body: bytes
    rows: int
    event_time_min: datetime
    event_time_max: datetime


def parts(good: pa.Table, event_time: str) -> list[Part]:
    """Cut a table that is sorted by `_partition` into files. Work for a thread."""
    stored = good.drop_columns([PARTITION_COLUMN])
    return [
        _part(partition, stored.slice(start, length), event_time)
        for partition, start, length in _runs(good.column(PARTITION_COLUMN))
    ]


def _runs(sorted_column: pa.ChunkedArray) -> Iterator[tuple[str, int, int]]:
    encoded = pc.run_end_encode(sorted_column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    start = 0
    for value, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        yield value, start, end - start
        start = end


def read_part(partition: str, body: bytes, event_time: str) -> Part | None:
    """What is in a file that was written before; None where it is none that can be read. Work for a thread."""
    try:
        moments = pq.read_table(pa.BufferReader(body)).column(event_time)
        return _described(partition, body, moments) if len(moments) > moments.null_count else None
    except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError, TypeError):
        return None


def _part(partition: str, rows: pa.Table, event_time: str) -> Part:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="snappy", coerce_timestamps="us", store_schema=False)
    return _described(partition, bytes(sink.getvalue()), rows.column(event_time))


def _described(partition: str, body: bytes, moments: pa.ChunkedArray) -> Part:
    bounds = pc.min_max(moments).as_py()
    return Part(
        partition=partition,
        body=body,
        rows=len(moments),
        event_time_min=bounds["min"].replace(tzinfo=UTC),
        event_time_max=bounds["max"].replace(tzinfo=UTC),
    )
