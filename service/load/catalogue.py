"""What the live tables look like, in the words of a dataset definition, and how they differ from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.core.columns import ColumnType
from service.core.ports import Warehouse
from service.load.statements import Statements, literal

CATALOGUE_STATEMENTS = ("columns", "large_strings")

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


def problems(columns: Iterable[tuple[str, str]], live: Sequence[LiveColumn] | None, table: str) -> list[str]:
    """Why files with these columns cannot go into the live table; empty when they can. Sentences for an operator."""
    if live is None:
        return [f"table {table} does not exist: run acequia migrate"]
    given = dict(columns)
    found = {column.name: column for column in live}
    missing = [name for name in given if name not in found]
    narrow = [n for n, written in given.items() if n in found and not takes(found[n].type, written)]
    unfed = [column.name for column in live if not column.nullable and column.name not in given]
    return [
        *(f"table {table} lacks the column {name}: run acequia migrate" for name in missing),
        *(f"table {table}, column {n}: {found[n].type} does not take {given[n]}: run acequia migrate" for n in narrow),
        *(f"table {table}, column {name}: NOT NULL, but files do not have it: drop the constraint" for name in unfed),
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
