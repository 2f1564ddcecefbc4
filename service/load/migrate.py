"""`acequia migrate`: the schema's numbered files, once each, then ledgers, tables as definitions say, and views.

A file is applied in a transaction with the row that records it, so a crash leaves it applied and recorded, or neither.
An applied file that has changed since is refused. A table is created, gets columns added at its end and texts widened;
anything else is refused, with the statement that a person would run after thinking.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service.core.columns import ColumnType
from service.core.datasets import LAKE_SCHEMA, SERVICE_SCHEMA, Dataset
from service.core.errors import SetupError
from service.core.errors_dataset import ERRORS
from service.core.moments import sql_moment
from service.core.ports import Statement, Warehouse
from service.load.catalogue import (
    CATALOGUE_STATEMENTS,
    Live,
    LiveColumn,
    read_catalogue,
    read_diststyles,
    takes,
)
from service.load.failures import FAILURES, FAILURES_VIEW, Failures
from service.load.statements import Statements, identifier, literal
from service.load.tables import (
    LEDGER_COLUMNS,
    LEDGER_PREFIX,
    LEDGER_VIEW,
    TABLE_STATEMENTS,
    Ledgers,
    Tables,
    shown,
    target,
)

BOOTSTRAP = "000_migrations.sql"
_NUMBERED = re.compile(r"\d{3}_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that belong together; `alone` where Redshift takes one only outside a transaction."""

    title: str
    statements: Sequence[Statement]
    alone: bool = False


class Migration:
    """Compares what is with what should be, and makes the difference. What was rejected has a table besides."""

    def __init__(self, sql: Path, datasets: Mapping[str, Dataset], warehouse: Warehouse) -> None:
        self._sql = sql
        self._datasets = {**datasets, ERRORS.name: ERRORS}
        self._warehouse = warehouse
        self._templates = Statements.load(sql / "schema" / "dataset.sql", expected=TABLE_STATEMENTS)
        self._catalogue = Statements.load(sql / "statements" / "catalogue.sql", expected=CATALOGUE_STATEMENTS)

    async def run(self, now: datetime) -> list[Step]:
        """Apply what is missing; returns what was done. Raises SetupError, with nothing more applied, when refused."""
        await self._apply(self._bootstrap())
        applied = await self._applied()
        files = self._pending(applied, now)
        for step in files:
            await self._apply(step)
        tables = await self._table_steps(applied, now)
        for step in tables:
            await self._apply(step)
        return [*files, *tables]

    async def plan(self, now: datetime) -> list[Step]:
        """What `run` would do, without doing any of it."""
        live = await read_catalogue(self._warehouse, self._catalogue, SERVICE_SCHEMA)
        there = "schema_migrations" in live
        known = await self._applied() if there else {}
        first = [] if there else [self._bootstrap()]
        return [*first, *self._pending(known, now), *await self._table_steps(known, now)]

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
        places = {"name": literal(name), "checksum": literal(checksum), "applied_at": literal(sql_moment(now))}
        return self._templates.render("migration_add", **places)

    async def _table_steps(self, applied: Mapping[str, str], now: datetime) -> list[Step]:
        schemas = (LAKE_SCHEMA, SERVICE_SCHEMA)
        live = {name: await read_catalogue(self._warehouse, self._catalogue, name) for name in schemas}
        styles = {name: await read_diststyles(self._warehouse, self._catalogue, name) for name in schemas}
        tables: dict[str, list[Step]] = {}
        for name, dataset in sorted(self._datasets.items()):
            tables[name] = table_steps(Tables(self._templates, dataset), live[dataset.schema])
            check_diststyle(dataset, styles[dataset.schema].get(name))
        ledgers = ledger_steps(Ledgers(self._templates), live[SERVICE_SCHEMA], self._datasets)
        view = Failures(self._templates, live[SERVICE_SCHEMA].get(FAILURES), applied.get(FAILURES_VIEW))
        noted = [self._forgotten(FAILURES_VIEW), self._record(FAILURES_VIEW, view.checksum, now)]
        before, after = failures_steps(view, tables[ERRORS.name], noted)
        return [*ledgers, *before, *(step for steps in tables.values() for step in steps), *after]

    def _forgotten(self, name: str) -> Statement:
        return self._templates.render("migration_forget", name=literal(name))

    async def _apply(self, step: Step) -> None:
        if step.alone:
            for statement in step.statements:
                await self._warehouse.run(statement)
            return
        async with self._warehouse.transaction() as session:
            for statement in step.statements:
                await session.execute(statement)


def ledger_steps(ledgers: Ledgers, live: Live, datasets: Iterable[str]) -> list[Step]:
    """What the ledgers need, those of datasets that nobody defines any more included, and the view over all of them."""
    known = {name.removeprefix(LEDGER_PREFIX) for name in live if name.startswith(LEDGER_PREFIX)}
    names = sorted({*known, *datasets})
    steps: list[Step] = []
    for name in names:
        if name not in known:
            steps.append(Step(f"ledger of {name}", [ledgers.table(name)]))
            continue
        found = {column.name for column in live[f"{LEDGER_PREFIX}{name}"]}
        for column, written in LEDGER_COLUMNS:
            if column not in found:
                title = f"column {column} of the ledger of {name}"
                steps.append(Step(title, [ledgers.column_add(name, column, written)]))
    view = [column.name for column in live.get(LEDGER_VIEW, ())]
    changed = view != ["dataset", *(column for column, _ in LEDGER_COLUMNS)]
    if steps or changed:
        drop = [ledgers.view_drop()] if view and changed else []
        steps.append(Step(f"view {SERVICE_SCHEMA}.{LEDGER_VIEW}", [*drop, ledgers.view(names)]))
    return steps


def table_steps(tables: Tables, live: Live) -> list[Step]:
    """What one dataset's table needs. Raises SetupError for a change that only a person may decide."""
    dataset = tables.dataset
    columns = live.get(dataset.name)
    if columns is None:
        return [Step(f"table {shown(dataset)}", [tables.dataset_table()])]
    steps: list[Step] = []
    found = {column.name: column for column in columns}
    for name, written in dataset.stored_columns:
        if name not in found:
            steps.append(Step(f"column {name} of {shown(dataset)}", [tables.column_add(name, written)]))
        elif not takes(found[name].type, written):
            steps.append(_widening(tables, found[name], written))
    for column in columns:
        if not column.nullable and column.name not in dataset.never_null:
            why = "NOT NULL, but the definition lets records lack it, and Redshift drops no such constraint"
            raise _by_hand(tables, column, why, column.type)
    return steps


def failures_steps(view: Failures, table: Sequence[Step], noted: Sequence[Statement]) -> tuple[list[Step], list[Step]]:
    """What the view over the rejected needs before and after its table's steps; `noted` records how it was made.

    A column that a view reads cannot be widened, so the view goes first and comes back. A migration that dies in
    between leaves none, and the next one makes it.
    """
    title, widens = f"view {FAILURES_VIEW}", any(step.alone for step in table)
    if widens and view.removing():
        return [Step(f"{title}, out of the way", view.removing())], [Step(title, [view.made, *noted])]
    return [], [Step(title, [*view.making(), *noted])] if view.differs else []


def check_diststyle(dataset: Dataset, live: str | None) -> None:
    """Raise SetupError when the table's rows are spread otherwise than the definition says; None: nobody knows."""
    style, table = dataset.diststyle, target(dataset)
    if style in ("auto", "even", "all"):
        same, statement = (
            live is None or live.startswith(style.upper()),
            f"ALTER TABLE {table} ALTER DISTSTYLE {style.upper()}",
        )
    else:
        same, statement = live in (None, f"KEY({style})"), f"ALTER TABLE {table} ALTER DISTKEY {identifier(style)}"
    if not same:
        raise SetupError(
            f"{shown(dataset)}: its rows are spread {live}, the definition says diststyle = {style!r}. Redshift "
            f"rewrites the whole table for that, so a person would run: {statement};"
        )


def _widening(tables: Tables, column: LiveColumn, written: str) -> Step:
    if not column.type.startswith("varchar(") or ColumnType.parse(written).kind != "varchar":
        why = f"is {column.type}, the definition says {written}, and Redshift changes no such type in place"
        raise _by_hand(tables, column, why, written)
    title = f"column {column.name} of {shown(tables.dataset)}: {column.type} to {written}"
    return Step(title, [tables.column_widen(column.name, written)], alone=True)


def _by_hand(tables: Tables, column: LiveColumn, why: str, written: str) -> SetupError:
    """What only a person may decide, with the statements that they would run."""
    dataset, table = tables.dataset, target(tables.dataset)
    new, old = identifier(f"{column.name}_new"), identifier(column.name)
    statements = (
        f"ALTER TABLE {table} ADD COLUMN {new} {written}; UPDATE {table} SET {new} = {old}; "  # noqa: S608 (shown)
        f"ALTER TABLE {table} DROP COLUMN {old}; ALTER TABLE {table} RENAME COLUMN {new} TO {old};"
    )
    return SetupError(f"{shown(dataset)}, column {column.name}: {why}. A person would run: {statements}")


def _statements(path: Path) -> Iterable[Statement]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("--")]
    for number, text in enumerate("\n".join(lines).split(";"), start=1):
        if text.strip():
            yield Statement(f"{path.stem} {number}", text.strip())
