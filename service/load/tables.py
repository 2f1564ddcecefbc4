"""The tables of a dataset and its ledger: their names, their columns, and the DDL that makes and changes them.

Encodings follow Redshift's own choice: RAW on the leading sort key and on booleans and doubles, AZ64 on other numbers
and times, ZSTD on text and SUPER. COPY from Parquet never sets them, so the table must.
"""

from collections.abc import Iterable

from service.core.columns import VARCHAR_BYTES_MAX
from service.core.datasets import SERVICE_SCHEMA, Dataset
from service.core.ports import Statement
from service.load.statements import Statements, identifier, listed, literal

TABLE_STATEMENTS = (
    "ledger_table",
    "dataset_table",
    "column_add",
    "column_widen",
    "ledger_view",
    "ledger_view_drop",
    "failures_view",
    "failures_view_drop",
    "migration_add",
    "migration_forget",
    "migrations",
)
LEDGER_PREFIX = "load_ledger_"
LEDGER_VIEW = "load_ledger"
LEDGER_FIRST = (
    ("uri", "varchar(1024)"),
    ("etag", "varchar(128)"),
    ("row_count", "bigint"),
    ("inserted", "bigint"),
    ("duplicate", "bigint"),
    ("replaced", "bigint"),
    ("bytes", "bigint"),
    ("group_id", "varchar(64)"),
    ("loaded_at", "timestamp"),
)
"""The columns that every ledger began with: all NOT NULL."""
LEDGER_LATER = (
    ("batch_id", "varchar(64)"),
    ("produced_at", "timestamp"),
    ("superseded_at", "timestamp"),
)
"""Columns that came later, never NOT NULL: the rows of older versions lack them. New ones go to the end.

The raw batch that the file came from; when the notice that loaded it was written; when a replay took its place.
"""
LEDGER_COLUMNS = (*LEDGER_FIRST, *LEDGER_LATER)
LEDGER_SORT_KEY = "loaded_at"
NAME_TYPE = "varchar(63)"
"""A dataset's name in the view over all ledgers; a bare literal would change the view's type with each new name."""


def target(dataset: Dataset) -> str:
    """The table that analysts read."""
    return identifier(dataset.schema, dataset.name)


def shown(dataset: Dataset) -> str:
    """The same, as sentences and titles name it."""
    return f"{dataset.schema}.{dataset.name}"


def ledger(dataset: str) -> str:
    """The dataset's ledger."""
    return identifier(SERVICE_SCHEMA, f"{LEDGER_PREFIX}{dataset}")


def stage_type(written: str, *, large_strings: bool) -> str:
    """A column's type while it is staged: SUPER arrives as text and is parsed on its way into the table.

    A text that is too long for a varchar column must be staged as a SUPER string.
    """
    return f"varchar({VARCHAR_BYTES_MAX})" if written == "super" and not large_strings else written


class Tables:
    """The DDL of one dataset's table."""

    def __init__(self, templates: Statements, dataset: Dataset) -> None:
        self._templates = templates
        self.dataset = dataset

    def dataset_table(self) -> Statement:
        """The table, as the definition says."""
        return self._templates.render(
            "dataset_table",
            target=target(self.dataset),
            definitions=",\n  ".join(self._definition(*column) for column in self.dataset.stored_columns),
            diststyle=self._diststyle(),
            event_time=identifier(self.dataset.event_time),
        )

    def column_add(self, name: str, written: str) -> Statement:
        """A column at the end, never NOT NULL."""
        return _column_add(self._templates, target(self.dataset), name, written, self.dataset.event_time)

    def column_widen(self, name: str, written: str) -> Statement:
        """A longer text."""
        return self._templates.render(
            "column_widen", target=target(self.dataset), column=identifier(name), type=written
        )

    def _definition(self, name: str, written: str) -> str:
        required = name in self.dataset.never_null
        return _definition(name, written, self.dataset.event_time, required=required)

    def _diststyle(self) -> str:
        style = self.dataset.diststyle
        return style.upper() if style in ("auto", "even", "all") else f"KEY DISTKEY ({identifier(style)})"


class Ledgers:
    """The DDL of the ledgers, by their datasets' names, and of the view over all of them."""

    def __init__(self, templates: Statements) -> None:
        self._templates = templates

    def table(self, dataset: str) -> Statement:
        """A ledger with every column."""
        columns = [_definition(*column, LEDGER_SORT_KEY, required=column in LEDGER_FIRST) for column in LEDGER_COLUMNS]
        return self._templates.render("ledger_table", ledger=ledger(dataset), definitions=",\n  ".join(columns))

    def column_add(self, dataset: str, name: str, written: str) -> Statement:
        """A column that an older ledger lacks, at its end."""
        return _column_add(self._templates, ledger(dataset), name, written, LEDGER_SORT_KEY)

    def view(self, datasets: Iterable[str]) -> Statement:
        """All ledgers together. It replaces a view of the same columns only."""
        return self._templates.render("ledger_view", selects="\nUNION ALL\n".join(map(_ledger_select, datasets)))

    def view_drop(self) -> Statement:
        """Away with a view of other columns, in the transaction that makes the new one."""
        return self._templates.render("ledger_view_drop")


def _definition(name: str, written: str, sort_key: str, *, required: bool) -> str:
    not_null = " NOT NULL" if required else ""
    return f"{identifier(name)} {written}{not_null} ENCODE {_encoding(name, written, sort_key)}"


def _column_add(templates: Statements, table: str, name: str, written: str, sort_key: str) -> Statement:
    places = {"column": identifier(name), "type": written, "encoding": _encoding(name, written, sort_key)}
    return templates.render("column_add", target=table, **places)


def _encoding(name: str, written: str, sort_key: str) -> str:
    if name == sort_key or written in ("boolean", "double precision"):
        return "raw"
    return "zstd" if written.startswith("varchar") or written == "super" else "az64"


def _ledger_select(name: str) -> str:
    columns = listed(identifier(column) for column, _ in LEDGER_COLUMNS)
    return f"SELECT CAST({literal(name)} AS {NAME_TYPE}) AS dataset, {columns} FROM {ledger(name)}"  # noqa: S608 (names)
