"""The columns of a table that is loaded, and which Parquet types each of them takes.

Positions decide, names in a file do not. A pair of types that nobody has seen load on Redshift is refused: better
refused here than there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from service.local.redshift.copy_statement import CopyStatement
from service.local.redshift.refusals import OWN_LIMIT, SYNTAX_ERROR, RefusedError, not_supported
from service.local.redshift.statements import VARCHAR_BYTES_MAX

_UNDEFINED_COLUMN = "42703"
_LENGTH_HEAD_BYTES = 4  # PostgreSQL counts them in a declared length or precision

_SHOWN_TYPES = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "REAL",
    "float8": "DOUBLE PRECISION",
    "timestamptz": "TIMESTAMPTZ",
    "bpchar": "CHAR",
    "numeric": "DECIMAL",
}
_DECLARED_TYPES = {"bpchar": "char", "text": "varchar"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A table's column.

    `type` is PostgreSQL's name of the type, `modifier` its declared size or -1, `declaration` both as in CREATE TABLE.
    """

    name: str
    type: str
    declaration: str
    modifier: int
    not_null: bool
    has_default: bool
    is_identity: bool = False

    @property
    def length_bytes(self) -> int:
        """The longest string it takes."""
        return self.modifier - _LENGTH_HEAD_BYTES if self.modifier >= 0 else VARCHAR_BYTES_MAX

    @property
    def precision_and_scale(self) -> tuple[int, int]:
        declared = self.modifier - _LENGTH_HEAD_BYTES
        return declared >> 16, declared & 0x7FF

    @property
    def declared(self) -> tuple[str, str]:
        """Type and length as SYS_LOAD_ERROR_DETAIL shows them."""
        length = self.length_bytes if self.is_text else self.modifier
        return _DECLARED_TYPES.get(self.type, self.type), str(length) if length >= 0 else ""

    @property
    def is_text(self) -> bool:
        return self.type in {"varchar", "bpchar", "text"}

    @property
    def shown_type(self) -> str:
        shown = _SHOWN_TYPES.get(self.type, self.type.upper())
        if self.is_text:
            return f"{shown}({self.length_bytes})"
        return "DECIMAL({}, {})".format(*self.precision_and_scale) if self.type == "numeric" else shown


def columns_query(table: str) -> str:
    """The query for `table_columns`; `table` is a name as the client wrote it."""
    literal = _literal(table)
    return (
        "SELECT a.attname, t.typname, a.atttypmod, a.attnotnull, a.atthasdef, "  # noqa: S608 - one quoted name
        "a.attidentity <> '', pg_catalog.format_type(a.atttypid, a.atttypmod) "
        "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
        f"WHERE a.attrelid = E'{literal}'::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped "
        "ORDER BY a.attnum"
    )


def identity_query(table: str) -> str:
    """The query for the table's number and that of the transaction."""
    return f"SELECT E'{_literal(table)}'::pg_catalog.regclass::oid, pg_catalog.txid_current()"


def _literal(table: str) -> str:
    return table.replace("\\", "\\\\").replace("'", "''")


def table_columns(rows: list[tuple[str | None, ...]]) -> list[Column]:
    return [
        Column(
            name=str(name),
            type=str(kind),
            declaration=str(declaration),
            modifier=int(modifier or -1),
            not_null=not_null == "t",
            has_default=default == "t",
            is_identity=identity == "t",
        )
        for name, kind, modifier, not_null, default, identity, declaration in rows
    ]


def loaded_columns(columns: list[Column], statement: CopyStatement) -> list[Column]:
    """The columns that the file's columns go to, in the file's order. Raises RefusedError.

    IDENTITY columns number the rows themselves: without a list of columns they are left out, and a list may not name
    them. (AWS: COPY, parameters for column mapping.)
    """
    if not statement.columns:
        return [column for column in columns if not column.is_identity]
    by_name = {column.name: column for column in columns}
    names = [_folded(name) for name in statement.columns]
    for name in names:
        if name not in by_name:
            message = f'column "{name}" of relation "{statement.shown_table}" does not exist'
            raise RefusedError(_UNDEFINED_COLUMN, message)
        if by_name[name].is_identity:
            raise not_supported(f"{OWN_LIMIT} An IDENTITY column takes values with EXPLICIT_IDS only.")
    if any(_needs_value(column) and column.name not in names for column in columns):
        raise RefusedError(SYNTAX_ERROR, "NOT NULL column without DEFAULT must be included in column list")
    return [by_name[name] for name in names]


def _needs_value(column: Column) -> bool:
    return column.not_null and not column.has_default and not column.is_identity


def takes(column: Column, kind: Any) -> bool:
    """Whether the column takes values of this Arrow type, as read from a Parquet file."""
    if column.type == "super":
        return pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_plain_nested(kind)
    if column.type == "numeric":
        precision, scale = column.precision_and_scale
        return bool(pa.types.is_decimal128(kind) and kind.scale == scale and kind.precision <= precision)
    accepts = _ACCEPTED.get(column.type)
    return accepts is not None and accepts(kind)


def _is_micros(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.unit == "us")


def _is_plain_nested(kind: Any) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type)
    return bool(pa.types.is_struct(kind) and all(_is_plain(kind.field(at).type) for at in range(kind.num_fields)))


def _is_plain(kind: Any) -> bool:
    plain = (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    )
    return plain or pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_plain_nested(kind)


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


_ACCEPTED: Mapping[str, Callable[[Any], bool]] = {
    "bool": pa.types.is_boolean,
    "int2": {pa.int8(), pa.int16()}.__contains__,
    "int4": {pa.int8(), pa.int16(), pa.int32()}.__contains__,
    "int8": {pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint32()}.__contains__,
    "float4": pa.types.is_float32,
    "float8": pa.types.is_float64,
    "date": pa.types.is_date32,
    "timestamp": _is_micros,
    "timestamptz": _is_micros,
    "varchar": {pa.string(), pa.large_string()}.__contains__,
    "bpchar": {pa.string(), pa.large_string()}.__contains__,
    "text": {pa.string(), pa.large_string()}.__contains__,
}
