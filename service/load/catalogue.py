"""What the live tables look like, in the words of a dataset definition, and how they differ from it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.core.columns import ColumnType
from service.core.errors import RejectedError, SetupError
from service.core.ports import Warehouse
from service.load.statements import Statements, literal

CATALOGUE_STATEMENTS = ("columns", "large_strings", "diststyles")

GRANTS = "GRANT SELECT, INSERT and DELETE on it to the loader's user"
_SHORT = {
    "character varying": "varchar",
    "numeric": "decimal",
    "timestamp without time zone": "timestamp",
}
_WIDER = {"smallint": ("smallint", "integer", "bigint"), "integer": ("integer", "bigint"), "bigint": ("bigint",)}


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """One column of a live table. `type` is written as the definitions write it (`varchar(64)`)."""

    name: str
    type: str
    nullable: bool


Live = Mapping[str, Sequence[LiveColumn]]
"""Columns by table."""


async def read_catalogue(warehouse: Warehouse, statements: Statements, schema: str) -> Live:
    """Every table of a schema, as it is now."""
    async with warehouse.transaction() as session:
        rows = await session.fetch(statements.render("columns", schema=literal(schema)))
    tables: dict[str, list[LiveColumn]] = {}
    for table, *column in rows:
        tables.setdefault(table, []).append(_live(column))
    return tables


async def read_diststyles(warehouse: Warehouse, statements: Statements, schema: str) -> Mapping[str, str]:
    """How the rows of a schema's tables are spread, as far as the user may see it (AWS: SVV_TABLE_INFO)."""
    try:
        async with warehouse.transaction() as session:
            rows = await session.fetch(statements.render("diststyles", schema=literal(schema)))
    except (SetupError, RejectedError):
        return {}
    return {table: style.strip() for table, style in rows}


def takes(live: str, given: str) -> bool:
    """Whether a column of the live type holds every value of the given one: the same type, or a wider one."""
    one, other = _parsed(live), _parsed(given)
    if one is None or other is None:
        return live == given
    match other.kind:
        case "varchar":
            return one.kind == "varchar" and one.length >= other.length
        case "smallint" | "integer" | "bigint" as kind:
            return one.kind in _WIDER[kind]
        case "decimal":
            whole, other_whole = one.precision - one.scale, other.precision - other.scale
            return one.kind == "decimal" and one.scale >= other.scale and whole >= other_whole
        case kind:
            return one.kind == kind


def problems(
    columns: Iterable[tuple[str, str]], live: Sequence[LiveColumn] | None, table: str, never_null: Collection[str]
) -> list[str]:
    """Why files with these columns, of which some are never null, cannot go into the live table; empty when they can.

    Sentences for an operator. A table on which its user has no right is hidden from it in the catalogue.
    """
    if live is None:
        return [f"table {table} does not exist, or the user has no rights on it: run acequia migrate, or {GRANTS}"]
    given = dict(columns)
    found = {column.name: column for column in live}
    missing = [name for name in given if name not in found]
    narrow = [n for n, written in given.items() if n in found and not takes(found[n].type, written)]
    fed = {name for name in given if name in never_null}
    strict = [column.name for column in live if not column.nullable and column.name not in fed]
    return [
        *(f"table {table} lacks the column {name}: run acequia migrate" for name in missing),
        *(f"table {table}, column {n}: {found[n].type} does not take {given[n]}: run acequia migrate" for n in narrow),
        *(f"table {table}, column {name}: NOT NULL, but records may lack it: run acequia migrate" for name in strict),
    ]


def _live(column: Sequence[Any]) -> LiveColumn:
    name, data_type, length, precision, scale, nullable = column
    kind = _SHORT.get(data_type, data_type)
    if kind == "varchar":
        kind = f"varchar({length})"
    elif kind == "decimal":
        kind = f"decimal({precision},{scale})"
    return LiveColumn(name, kind, nullable == "YES")


def _parsed(written: str) -> ColumnType | None:
    try:
        return ColumnType.parse(written.replace("double precision", "double"))
    except ValueError:
        return None
