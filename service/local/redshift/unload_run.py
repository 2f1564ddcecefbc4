"""Runs an UNLOAD: the rows of a query as Parquet on S3, as Redshift's own UNLOAD lays them out.

Durable effects, in this order: old objects removed (CLEANPATH) → files stored → manifest stored. A failure in between
leaves files without a manifest, as it does on Redshift.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from service.local.redshift.objects import Location, Objects
from service.local.redshift.refusals import OWN_LIMIT, ScanError, engine_error, not_supported
from service.local.redshift.results import NUMERIC, SUPER, Field, compact_json
from service.local.redshift.unload_statement import UnloadStatement

ROWS_MAX = 500_000

_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_PART = "0000_part_00.parquet"
_UNKNOWN_QUERY = 0
_CODE_NOT_EMPTY = 8001
_NOT_EMPTY = (
    "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually removing "
    "the target files in S3, or using the ALLOWOVERWRITE option."
)
_READERS: Mapping[int, tuple[Any, Callable[[str], Any]]] = {
    16: (pa.bool_(), "t".__eq__),
    20: (pa.int64(), int),
    21: (pa.int16(), int),
    23: (pa.int32(), int),
    25: (pa.string(), str),
    700: (pa.float32(), float),
    701: (pa.float64(), float),
    1042: (pa.string(), str),
    1043: (pa.string(), str),
    1082: (pa.date32(), date.fromisoformat),
    1114: (pa.timestamp("us"), datetime.fromisoformat),
    SUPER: (pa.string(), lambda text: compact_json(text.encode()).decode()),
}
"""By PostgreSQL's type number: the type in the file, and how a value in text is read."""

_Row = tuple[str | None, ...]


class Backend(Protocol):
    """The client's connection to PostgreSQL."""

    async def select(self, sql: str, *, rows_max: int) -> tuple[list[Field], list[_Row]]:
        """The query's columns and rows; if there are more than `rows_max`, one more than that."""


class Unloader:
    """Runs UNLOAD for every session of one stand-in."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def unload(self, statement: UnloadStatement, backend: Backend) -> int:
        """The number of rows. An empty result writes nothing. Raises RefusedError, or what `backend` raises."""
        fields, rows = await backend.select(statement.query, rows_max=ROWS_MAX)
        if len(rows) > ROWS_MAX:
            raise not_supported(f"{OWN_LIMIT} UNLOAD writes at most {ROWS_MAX} rows.")
        prefix = Location.of(statement.prefix)
        try:
            await self._make_room(statement, prefix)
            files = _files(statement, fields, rows)
            entries = []
            for name, content in files.items():
                await self._objects.put(Location(prefix.bucket, prefix.key + name), content)
                url = f"{statement.prefix}{name}"
                entries.append({"url": url, "meta": {"content_length": len(content)}})
            if statement.manifest and entries:
                body = json.dumps({"entries": entries}, separators=(",", ":")).encode()
                await self._objects.put(Location(prefix.bucket, f"{prefix.key}manifest"), body)
        except ScanError as error:
            raise engine_error(error, query=_UNKNOWN_QUERY) from None
        return len(rows)

    async def _make_room(self, statement: UnloadStatement, prefix: Location) -> None:
        if statement.allow_overwrite:
            return
        present = await self._objects.below(prefix)
        if present and not statement.clean_path:
            raise ScanError(_CODE_NOT_EMPTY, _NOT_EMPTY, message=_NOT_EMPTY, location="s3_unloader.cpp")
        for location in present:
            await self._objects.remove(location)


def _files(statement: UnloadStatement, fields: Sequence[Field], rows: Sequence[_Row]) -> dict[str, bytes]:
    """The files' contents, by their names behind the prefix."""
    names = [field.name for field in fields]
    for name in statement.partition_by:
        if name not in names:
            raise not_supported(f'{OWN_LIMIT} The PARTITION BY column "{name}" is not in the result.')
    keys = [names.index(name) for name in statement.partition_by]
    kept = [at for at in range(len(fields)) if statement.include or at not in keys]
    if not kept:
        raise not_supported(f"{OWN_LIMIT} A file needs a column that is not in PARTITION BY.")
    grouped: dict[str, list[_Row]] = {}
    for row in rows:
        path = "".join(f"{names[at]}={_shown(row[at])}/" for at in keys)
        grouped.setdefault(path, []).append(row)
    return {f"{path}{_PART}": _parquet(fields, kept, part) for path, part in grouped.items()}


def _shown(value: str | None) -> str:
    return _NO_PARTITION if value is None else quote(value, safe=" :-+.")


def _parquet(fields: Sequence[Field], kept: Sequence[int], rows: Sequence[_Row]) -> bytes:
    arrays = []
    for at in kept:
        kind, read = _reader(fields[at])
        try:
            arrays.append(pa.array([None if row[at] is None else read(str(row[at])) for row in rows], kind))
        except (ValueError, ArithmeticError):
            text = f'{OWN_LIMIT} A value of the column "{fields[at].name}" cannot be written to Parquet.'
            raise not_supported(text) from None
    table = pa.Table.from_arrays(arrays, names=[fields[at].name for at in kept])
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="snappy", use_deprecated_int96_timestamps=True)
    return sink.getvalue()


def _reader(field: Field) -> tuple[Any, Callable[[str], Any]]:
    if field.kind == NUMERIC:
        if field.precision_and_scale is None:
            text = (
                f'{OWN_LIMIT} The column "{field.name}" needs a cast to DECIMAL(p, s): its precision is not known here.'
            )
            raise not_supported(text)
        return pa.decimal128(*field.precision_and_scale), Decimal
    if field.kind not in _READERS:
        raise not_supported(f'{OWN_LIMIT} The type of the column "{field.name}" is not supported by UNLOAD.')
    return _READERS[field.kind]
