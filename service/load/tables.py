"""The tables of a dataset in the warehouse: their names, their columns, and the DDL that makes and changes them.

Encodings follow Redshift's own choice: RAW on the leading sort key and on booleans and doubles, AZ64 on other numbers
and times, ZSTD on text and SUPER. COPY from Parquet never sets them, so the table must.
"""

from collections.abc import Iterable

from service.core.columns import VARCHAR_BYTES_MAX
from service.core.datasets import Dataset
from service.core.ports import Statement
from service.load.statements import Statements, identifier

LAKE_SCHEMA = "lake"
SERVICE_SCHEMA = "acequia"
TABLE_STATEMENTS = (
    "ledger_table",
    "dataset_table",
    "column_add",
    "column_widen",
    "ledger_view",
    "migration_add",
    "migrations",
)


def target(dataset: str) -> str:
    """The table that analysts read."""
    return identifier(LAKE_SCHEMA, dataset)


def ledger(dataset: str) -> str:
    """The dataset's ledger."""
    return identifier(SERVICE_SCHEMA, f"load_ledger_{dataset}")


def stage_type(written: str) -> str:
    """A column's type while it is staged: SUPER arrives as text and is parsed on its way into the table."""
    return f"varchar({VARCHAR_BYTES_MAX})" if written == "super" else written


class Tables:
    """The DDL of one dataset."""

    def __init__(self, templates: Statements, dataset: Dataset) -> None:
        self._templates = templates
        self.dataset = dataset

    def ledger_table(self) -> Statement:
        """The ledger."""
        return self._templates.render("ledger_table", ledger=ledger(self.dataset.name))

    def dataset_table(self) -> Statement:
        """The table, as the definition says."""
        return self._templates.render(
            "dataset_table",
            target=target(self.dataset.name),
            definitions=",\n  ".join(self._definition(*column) for column in self.dataset.stored_columns),
            diststyle=self._diststyle(),
            event_time=identifier(self.dataset.event_time),
        )

    def column_add(self, name: str, written: str) -> Statement:
        """A column at the end, never NOT NULL."""
        places = {"column": identifier(name), "type": written, "encoding": self._encoding(name, written)}
        return self._templates.render("column_add", target=target(self.dataset.name), **places)

    def column_widen(self, name: str, written: str) -> Statement:
        """A longer text."""
        return self._templates.render(
            "column_widen", target=target(self.dataset.name), column=identifier(name), type=written
        )

    @staticmethod
    def ledger_view(templates: Statements, datasets: Iterable[str]) -> Statement:
        """All ledgers together."""
        return templates.render("ledger_view", selects="\nUNION ALL\n".join(map(_ledger_select, datasets)))

    def _definition(self, name: str, written: str) -> str:
        required = name.startswith("_") or any(c.name == name and c.required for c in self.dataset.columns)
        return f"{identifier(name)} {written}{' NOT NULL' if required else ''} ENCODE {self._encoding(name, written)}"

    def _encoding(self, name: str, written: str) -> str:
        if name == self.dataset.event_time or written in ("boolean", "double precision"):
            return "raw"
        return "zstd" if written.startswith("varchar") or written == "super" else "az64"

    def _diststyle(self) -> str:
        style = self.dataset.diststyle
        return style.upper() if style in ("auto", "even", "all") else f"KEY DISTKEY ({identifier(style)})"


def _ledger_select(name: str) -> str:
    columns = "uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at"
    return f"SELECT '{name}' AS dataset, {columns} FROM {ledger(name)}"  # noqa: S608 (a checked name, quoted)
