"""Notices made from the files themselves, for files whose own notice is gone, and for replays.

A raw file's columns and number of messages stand in its footer; a refined file's columns, rows and event times are
read from it too. Types that Parquet knows less of than the warehouse (a text's length, JSON in a text) come from the
dataset's definition of now: a table's texts are only ever widened. What does not fit is refused, never guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.columns import ColumnType
from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.model import utf8_bytes
from service.core.notice import FILES_MAX, File, FileNotice, Replaces
from service.upkeep.lake import Made, RawFile

FILES_A_NOTICE = 64
"""As refine sends them by default."""
NOTICE_BYTES_MAX = 1_000_000
"""SQS takes 1 MiB, attributes included."""
PLAIN: Mapping[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "varchar": pa.string(),
    "super": pa.string(),
}


@dataclass(frozen=True, slots=True)
class Read:
    """An object's bytes, and its etag."""

    body: bytes
    etag: str


def raw_notice(dataset: Dataset, zone: str, file: RawFile, read: Read, now: datetime) -> FileNotice:
    """The notice that land sent about a raw file. Work for a thread; RejectedError where the file cannot be read."""
    with _readable():
        parquet = pq.ParquetFile(pa.BufferReader(read.body))
        columns = [(field.name, str(field.type)) for field in parquet.schema_arrow]
        messages = parquet.metadata.num_rows
    return FileNotice(
        dataset=dataset.name,
        zone=zone,
        files=[File(file.uri, read.etag, len(read.body), rows=messages)],
        columns=columns,
        batch_id=file.batch_id,
        definition="",
        produced_at=now,
    )


def replay_notice(notice: FileNotice, old: Sequence[str]) -> FileNotice:
    """The same file, to be refined again in the place of these refined ones; RejectedError where they are too many."""
    [raw] = notice.files
    told = FileNotice(
        dataset=notice.dataset,
        zone=notice.zone,
        files=notice.files,
        columns=notice.columns,
        batch_id=notice.batch_id,
        definition="",
        produced_at=notice.produced_at,
        replaces=Replaces(raw.uri, tuple(sorted(old))),
    )
    if len(old) > FILES_MAX or utf8_bytes(told.to_json()) > NOTICE_BYTES_MAX:
        raise RejectedError("too_large", f"its {len(old)} refined files are more than a notice can name")
    return told


def row_count(body: bytes) -> int:
    """What a Parquet file's footer says. Work for a thread; RejectedError where it cannot be read."""
    with _readable():
        return int(pq.read_metadata(pa.BufferReader(body)).num_rows)


@dataclass(frozen=True, slots=True)
class Described:
    """A refined file with what its notice says about it."""

    made: Made
    file: File
    columns: Sequence[tuple[str, str]]


def described(dataset: Dataset, made: Made, read: Read) -> Described:
    """What is in a refined file. Work for a thread; RejectedError where today's definition does not tell its types."""
    with _readable():
        parquet = pq.ParquetFile(pa.BufferReader(read.body))
        columns = [(field.name, _written(dataset, field)) for field in parquet.schema_arrow]
        if dataset.event_time not in dict(columns):
            raise RejectedError("bad_file", f"it has no column {dataset.event_time}, by which files are cut now")
        bounds = pc.min_max(parquet.read(columns=[dataset.event_time]).column(0)).as_py()
        rows = parquet.metadata.num_rows
    earliest, latest = (_utc(bounds[end]) for end in ("min", "max"))
    if any(moment is None or f"/dt={moment:%Y-%m-%d}/" not in made.uri for moment in (earliest, latest)):
        raise RejectedError("bad_file", f"it was not cut by {dataset.event_time}, as files are now")
    return Described(made, File(made.uri, read.etag, len(read.body), rows, earliest, latest), columns)


def load_notices(dataset: Dataset, zone: str, files: Sequence[Described]) -> Iterator[FileNotice]:
    """The notices that refine sent about these files: of one batch, one definition and the same columns each.

    They are as old as the files: a replay that was asked for later goes before them, whenever it comes.
    """
    alike: dict[object, list[Described]] = {}
    for one in files:
        alike.setdefault((one.made.batch_id, one.made.definition, tuple(one.columns)), []).append(one)
    for some in alike.values():
        for start in range(0, len(some), FILES_A_NOTICE):
            part = some[start : start + FILES_A_NOTICE]
            yield FileNotice(
                dataset=dataset.name,
                zone=zone,
                files=[one.file for one in part],
                columns=part[0].columns,
                batch_id=part[0].made.batch_id,
                definition=part[0].made.definition,
                produced_at=min(one.made.stored_at for one in part),
                event_time=dataset.event_time,
            )


def _written(dataset: Dataset, field: pa.Field) -> str:
    """The column's type as the definition writes it, where the file's column is of that type."""
    written = dict(dataset.stored_columns).get(field.name)
    if written is None:
        raise RejectedError("bad_file", f"its column {field.name} is in no definition any more")
    if _arrow(written) != field.type:
        raise RejectedError("bad_file", f"its column {field.name} is of another type than the definition says now")
    return written


def _arrow(written: str) -> pa.DataType:
    kind = ColumnType.parse(written.replace("double precision", "double"))
    return pa.decimal128(kind.precision, kind.scale) if kind.kind == "decimal" else PLAIN[kind.kind]


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


@contextmanager
def _readable() -> Iterator[None]:
    """Whatever Parquet's reader cannot take is a RejectedError."""
    try:
        yield
    except (pa.ArrowException, OSError):
        raise RejectedError("bad_file", "it is not readable as Parquet") from None
