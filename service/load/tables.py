"""The tables of a dataset in the warehouse: their names, their columns, and the DDL that makes them.

Encodings follow Redshift's own choice: RAW on the leading sort key and on booleans and doubles, AZ64 on other numbers
and times, ZSTD on text and SUPER. COPY from Parquet never sets them, so the table must.
"""

from collections.abc import Iterable
from pathlib import Path

from service.core.columns import VARCHAR_BYTES_MAX
from service.core.datasets import Dataset
from service.core.ports import Session, Statement
from service.load.statements import Statements, identifier

LAKE_SCHEMA = "lake"
SERVICE_SCHEMA = "acequia"


def target(dataset: str) -> str:
    """The table that analysts read."""
    return identifier(LAKE_SCHEMA, dataset)


def ledger(dataset: str) -> str:
    """The dataset's ledger."""
    return identifier(SERVICE_SCHEMA, f"load_ledger_{dataset}")


def stage_type(written: str) -> str:
    """A column's type while it is staged: SUPER arrives as text and is parsed on its way into the table."""
    return f"varchar({VARCHAR_BYTES_MAX})" if written == "super" else written


def schema_statements(sql: Path, datasets: Iterable[Dataset]) -> list[Statement]:
    """Everything that must exist before the first load, in order; running it again changes nothing."""
    every = sorted(datasets, key=lambda dataset: dataset.name)
    schemas = Statements.load(sql / "schema" / "001_schemas.sql", expected=["service_schema", "lake_schema"])
    tables = Statements.load(sql / "schema" / "dataset.sql", expected=["ledger_table", "dataset_table", "ledger_view"])
    made = [schemas.render("service_schema"), schemas.render("lake_schema")]
    for dataset in every:
        made.append(tables.render("ledger_table", ledger=ledger(dataset.name)))
        made.append(
            tables.render(
                "dataset_table",
                target=target(dataset.name),
                definitions=",\n  ".join(_definition(dataset, *column) for column in dataset.stored_columns),
                event_time=identifier(dataset.event_time),
            )
        )
    made.append(tables.render("ledger_view", selects="\nUNION ALL\n".join(_ledger_select(d.name) for d in every)))
    return made


async def prepare(session: Session, statements: Iterable[Statement]) -> None:
    """Run the schema's statements in the session's transaction."""
    for statement in statements:
        await session.execute(statement)


def _definition(dataset: Dataset, name: str, written: str) -> str:
    required = name.startswith("_") or any(c.name == name and c.required for c in dataset.columns)
    encoding = "raw" if name == dataset.event_time else _encoding(written)
    return f"{identifier(name)} {written}{' NOT NULL' if required else ''} ENCODE {encoding}"


def _encoding(written: str) -> str:
    if written in ("boolean", "double precision"):
        return "raw"
    return "zstd" if written.startswith("varchar") or written == "super" else "az64"


def _ledger_select(name: str) -> str:
    columns = "uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at"
    return f"SELECT '{name}' AS dataset, {columns} FROM {ledger(name)}"  # noqa: S608 (a checked name, quoted)
