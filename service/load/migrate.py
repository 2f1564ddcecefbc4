"""`acequia migrate`: the schema's numbered files, once each, then each dataset's table as its definition says.

A file is applied in a transaction with the row that records it, so a crash leaves it applied and recorded, or neither.
An applied file that has changed since is refused. A table is created, gets columns added at its end and texts widened;
anything else is refused, with the statement that a person would run after thinking.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.core.columns import ColumnType
from service.core.datasets import Dataset
from service.core.errors import SetupError
from service.core.ports import Statement, Warehouse
from service.load.catalogue import COLUMNS, Live, LiveColumn, read_catalogue, takes
from service.load.statements import Statements, identifier, literal
from service.load.tables import LAKE_SCHEMA, TABLE_STATEMENTS, Tables, target

BOOTSTRAP = "000_migrations.sql"
_NUMBERED = re.compile(r"\d{3}_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that belong together; `alone` where Redshift takes one only outside a transaction."""

    title: str
    statements: Sequence[Statement]
    alone: bool = False


class Migration:
    """Compares what is with what should be, and makes the difference."""

    def __init__(self, sql: Path, datasets: Mapping[str, Dataset], warehouse: Warehouse) -> None:
        self._sql = sql
        self._datasets = datasets
        self._warehouse = warehouse
        self._templates = Statements.load(sql / "schema" / "dataset.sql", expected=TABLE_STATEMENTS)
        self._catalogue = Statements.load(sql / "statements" / "catalogue.sql", expected=COLUMNS)

    async def run(self, now: datetime) -> list[Step]:
        """Apply what is missing; returns what was done. Raises SetupError, with nothing more applied, when refused."""
        await self._apply(self._bootstrap())
        files = self._pending(await self._applied(), now)
        for step in files:
            await self._apply(step)
        tables = await self._table_steps()
        for step in tables:
            await self._apply(step)
        return [*files, *tables]

    async def plan(self, now: datetime) -> list[Step]:
        """What `run` would do, without doing any of it."""
        live = await read_catalogue(self._warehouse, self._catalogue, "acequia")
        known = await self._applied() if "schema_migrations" in live else None
        first = [self._bootstrap()] if known is None else []
        return [*first, *self._pending(known or {}, now), *await self._table_steps()]

    def _bootstrap(self) -> Step:
        return Step(BOOTSTRAP, list(_statements(self._sql / "schema" / BOOTSTRAP)))

    async def _applied(self) -> dict[str, str]:
        async with self._warehouse.transaction() as session:
            return {row[0]: row[1] for row in await session.fetch(self._templates.render("migrations"))}

    def _pending(self, applied: Mapping[str, str], now: datetime) -> list[Step]:
        steps = []
        for path in sorted((self._sql / "schema").iterdir()):
            if not _NUMBERED.fullmatch(path.name) or path.name == BOOTSTRAP:
                continue
            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
            if path.name not in applied:
                steps.append(Step(path.name, [*_statements(path), self._record(path.name, checksum, now)]))
            elif applied[path.name] != checksum:
                raise SetupError(
                    f"{path}: was applied with other content: restore it, and put the change in a new file"
                )
        return steps

    def _record(self, name: str, checksum: str, now: datetime) -> Statement:
        moment = now.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
        places = {"name": literal(name), "checksum": literal(checksum), "applied_at": literal(moment)}
        return self._templates.render("migration_add", **places)

    async def _table_steps(self) -> list[Step]:
        live = await read_catalogue(self._warehouse, self._catalogue, LAKE_SCHEMA)
        ledgers = await read_catalogue(self._warehouse, self._catalogue, "acequia")
        steps: list[Step] = []
        for dataset in sorted(self._datasets.values(), key=lambda one: one.name):
            steps.extend(table_steps(Tables(self._templates, dataset), live, ledgers))
        if steps or "load_ledger" not in ledgers:
            every = sorted({name.removeprefix("load_ledger_") for name in ledgers if name.startswith("load_ledger_")})
            names = sorted({*every, *self._datasets})
            steps.append(Step("view acequia.load_ledger", [Tables.ledger_view(self._templates, names)]))
        return steps

    async def _apply(self, step: Step) -> None:
        if step.alone:
            for statement in step.statements:
                await self._warehouse.run(statement)
            return
        async with self._warehouse.transaction() as session:
            for statement in step.statements:
                await session.execute(statement)


def table_steps(tables: Tables, live: Live, ledgers: Live) -> list[Step]:
    """What one dataset needs. Raises SetupError for a change that only a person may decide."""
    dataset = tables.dataset
    steps = []
    if f"load_ledger_{dataset.name}" not in ledgers:
        steps.append(Step(f"ledger of {dataset.name}", [tables.ledger_table()]))
    columns = live.get(dataset.name)
    if columns is None:
        return [*steps, Step(f"table lake.{dataset.name}", [tables.dataset_table()])]
    found = {column.name: column for column in columns}
    for name, written in dataset.stored_columns:
        if name not in found:
            steps.append(Step(f"column {name} of lake.{dataset.name}", [tables.column_add(name, written)]))
        elif not takes(found[name].type, written):
            steps.append(_widening(tables, found[name], written))
    return steps


def _widening(tables: Tables, column: LiveColumn, written: str) -> Step:
    table = target(tables.dataset.name)
    if not column.type.startswith("varchar(") or ColumnType.parse(written).kind != "varchar":
        new, old = identifier(f"{column.name}_new"), identifier(column.name)
        by_hand = (
            f"ALTER TABLE {table} ADD COLUMN {new} {written}; UPDATE {table} SET {new} = {old}; "  # noqa: S608 (shown)
            f"ALTER TABLE {table} DROP COLUMN {old}; ALTER TABLE {table} RENAME COLUMN {new} TO {old};"
        )
        raise SetupError(
            f"lake.{tables.dataset.name}, column {column.name}: is {column.type}, the definition says {written}, and "
            f"Redshift changes no such type in place. A person would run: {by_hand}"
        )
    title = f"column {column.name} of lake.{tables.dataset.name}: {column.type} to {written}"
    return Step(title, [tables.column_widen(column.name, written)], alone=True)


def _statements(path: Path) -> Iterable[Statement]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("--")]
    for number, text in enumerate("\n".join(lines).split(";"), start=1):
        if text.strip():
            yield Statement(f"{path.stem} {number}", text.strip())
