"""One Parquet file of a COPY: checked against the table's columns and turned into CSV for PostgreSQL.

Runs in a worker thread. Memory holds one batch of rows, decoded and as CSV; the file itself stays on disk.
In the CSV a null is empty and an empty string is quoted.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from service.local.redshift.columns import Column, takes
from service.local.redshift.objects import Location
from service.local.redshift.refusals import OWN_LIMIT, SPECTRUM_SCAN, ScanError

BATCH_ROWS_MAX = 8192
BATCH_BYTES_MAX = 32 * 1024 * 1024
SUPER_BYTES_MAX = 16_384_000
"""As the type's modifier says on the wire."""

_CODE_SCAN = 15007
_CODE_SUPER_OPTION = 8001
_CODE_NULL = 1213
_CODE_UTF8 = 1220
_CODE_STRING = 1224
_CODE_ASSERT = 1000


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a file's columns go, in order, and the options that matter to its rows."""

    columns: tuple[Column, ...]
    serialize_to_json: bool
    fill_record: bool
    accept_invalid_characters: bool
    string_bytes_max: int

    def check_options(self) -> None:
        """Raises ScanError."""
        if self.serialize_to_json or all(column.type != "super" for column in self.columns):
            return
        if self.fill_record:
            text = "Assert … Unreachable - Invalid type: 4000"
            raise ScanError(_CODE_ASSERT, text, message="Assert")
        text = "SUPER column in COPY query requires SERIALIZETOJSON option"
        raise ScanError(_CODE_SUPER_OPTION, text, message=text, location="scan_s3query_impl.cpp")


class Batch(NamedTuple):
    """Some rows of a file as CSV."""

    rows: int
    csv: bytes


def csv_batches(path: Path, location: Location, target: Target) -> Iterator[Batch]:
    """The file's rows as CSV, some thousand at a time. Raises ScanError, possibly after some batches."""
    try:
        with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
            _check_schema(file, location, target)
            for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
                yield Batch(batch.num_rows, _csv(batch, location, target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError):
        # Arrow's text may quote what it could not read.
        text = f"{OWN_LIMIT} Not a readable Parquet file. File name: {location.shown}"
        raise ScanError(_CODE_SCAN, text, file=location.uri) from None


def _batch_rows(metadata: Any) -> int:
    """As many rows as fill a batch on the average of the file."""
    size_bytes = sum(int(metadata.row_group(at).total_byte_size) for at in range(metadata.num_row_groups))
    return min(max(BATCH_BYTES_MAX * int(metadata.num_rows) // max(size_bytes, 1), 1), BATCH_ROWS_MAX)


def _check_schema(file: Any, location: Location, target: Target) -> None:
    schema = file.schema_arrow
    expected, found = len(target.columns), len(schema)
    if found > expected or (found < expected and not target.fill_record):
        raise ScanError(
            _CODE_SCAN,
            "Unmatched number of columns between table and file. "
            f"Table columns: {expected}, Data columns: {found}, File name: {location.shown}",
            file=location.uri,
        )
    for field, column in zip(schema, target.columns, strict=False):
        if not takes(column, _plain_type(field.type)):
            raise _column_error(
                column,
                location,
                _CODE_SCAN,
                f"File '{location.shown}' has an incompatible Parquet schema for column "
                f"'s3://{location.bucket}/{location.key}.{field.name}'. "
                f"Column type: {column.shown_type}, Parquet schema:\n{_shown_field(file.schema, field.name)}",
            )


def _shown_field(schema: Any, name: str) -> str:
    for at in range(len(schema)):
        leaf = schema.column(at)
        if leaf.path.split(".")[0] == name:
            d, r = leaf.max_definition_level, leaf.max_repetition_level
            return f"{'optional' if d else 'required'} {leaf.physical_type.lower()} {name} [i:{at} d:{d} r:{r}]"
    return name


def _plain_type(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _csv(batch: Any, location: Location, target: Target) -> bytes:
    arrays = []
    for at, column in enumerate(target.columns):
        values = _values(batch.column(at), column, location, target) if at < batch.num_columns else pa.nulls(len(batch))
        if column.not_null and values.null_count:
            text = f"Cannot insert a NULL value into column {column.name}"
            raise _column_error(column, location, _CODE_NULL, text, message=text)
        arrays.append(values)
    table = pa.Table.from_arrays(arrays, names=[str(at) for at in range(len(arrays))])
    sink = io.BytesIO()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=False))
    return sink.getvalue()


def _values(array: Any, column: Column, location: Location, target: Target) -> Any:
    """The array as PostgreSQL should read it from CSV."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = _valid_text(array, target, column, location)
    if column.type == "super":
        return _as_json(array, column, location, target.string_bytes_max)
    if column.is_text:
        _check_length(array, column, location)
        if column.type == "bpchar":
            _check_single_bytes(array, column, location)
    elif column.type == "timestamp":
        # Instants are stored in UTC, whatever zone the file names.
        return array.cast(pa.int64()).cast(pa.timestamp("us"))
    elif column.type == "timestamptz":
        return array.cast(pa.int64()).cast(pa.timestamp("us", "UTC"))
    return array


def _valid_text(array: Any, target: Target, column: Column, location: Location) -> Any:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        if not target.accept_invalid_characters:
            text = f"Invalid UTF-8 in column {column.name}"
            raise _column_error(column, location, _CODE_UTF8, f"{OWN_LIMIT} {text}") from None
        raw = array.cast(pa.large_binary(), safe=False).to_pylist()
        return pa.array([None if value is None else _replaced(value) for value in raw], pa.large_string())
    return array


def _replaced(value: bytes) -> str:
    return value.decode("utf-8", "replace").replace("\ufffd", "?")


def _check_length(array: Any, column: Column, location: Location) -> None:
    too_long = _first_above(array, column.length_bytes)
    if too_long is not None:
        raise _column_error(
            column,
            location,
            _CODE_SCAN,
            f"The length of the data column {column.name} is longer than the length defined in the table. "
            f"Table: {column.length_bytes}, Data: {too_long}, File name: {location.shown}",
        )


def _check_single_bytes(array: Any, column: Column, location: Location) -> None:
    if pc.any(pc.not_equal(pc.binary_length(array), pc.utf8_length(array))).as_py():
        text = f"{OWN_LIMIT} CHAR takes single-byte characters only. File name: {location.shown}"
        raise _column_error(column, location, _CODE_UTF8, text)


def _column_error(
    column: Column, location: Location, code: int, context: str, *, message: str = SPECTRUM_SCAN
) -> ScanError:
    kind, length = column.declared
    return ScanError(
        code, context, message, file=location.uri, column=column.name, column_type=kind, column_length=length
    )


def _first_above(array: Any, bytes_max: int) -> int | None:
    """The length of the first string that is longer than so many bytes."""
    lengths = pc.binary_length(array)
    found = lengths.filter(pc.greater(lengths, bytes_max))
    return int(found[0].as_py()) if len(found) else None


def _as_json(array: Any, column: Column, location: Location, string_bytes_max: int) -> Any:
    """Text becomes a JSON string, as SERIALIZETOJSON leaves it; what is nested becomes a document."""
    if any(_first_above(strings, string_bytes_max) is not None for strings in _strings(array)):
        text = f"String value exceeds the max size of {string_bytes_max} bytes"
        raise _column_error(column, location, _CODE_STRING, text, message=text)
    values = [None if value is None else orjson.dumps(value) for value in array.to_pylist()]
    if any(value is not None and len(value) > SUPER_BYTES_MAX for value in values):
        text = f"{OWN_LIMIT} A SUPER value has more than {SUPER_BYTES_MAX} bytes. File name: {location.shown}"
        raise _column_error(column, location, _CODE_STRING, text)
    return pa.array([None if value is None else value.decode() for value in values], pa.large_string())


def _strings(array: Any) -> Iterator[Any]:
    """Every array of strings within the array."""
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        yield array
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        yield from _strings(array.flatten())
    elif pa.types.is_struct(array.type):
        for inner in array.flatten():
            yield from _strings(inner)
