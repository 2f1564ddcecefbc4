"""The DDL of a small dataset, byte for byte, and the rule that every table of a migration keeps."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from service.core.datasets import SYSTEM_COLUMNS, Dataset
from service.core.definitions import load_datasets
from service.core.errors_dataset import ERRORS
from service.load.migrate import Migration
from service.load.statements import Statements
from service.load.tables import TABLE_STATEMENTS, Ledgers, Tables, stage_type
from service.settings import PROJECT
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore
from tests.fakes.warehouse import FakeWarehouse

COLUMNS = """
[[column]]
name = "amount"
type = "decimal(5,1)"
[[column]]
name = "share"
type = "double"
[[column]]
name = "paid"
type = "boolean"
required = true
[[column]]
name = "mail"
type = "varchar(99)"
mask = "hash"
"""
TABLE = """CREATE TABLE IF NOT EXISTS "lake"."things" (
  "id" varchar(32) NOT NULL ENCODE zstd,
  "at" timestamp NOT NULL ENCODE raw,
  "amount" decimal(5,1) ENCODE az64,
  "share" double precision ENCODE raw,
  "paid" boolean NOT NULL ENCODE raw,
  "mail" varchar(64) ENCODE zstd,
  "rest" super ENCODE zstd,
  "_record_id" varchar(64) NOT NULL ENCODE zstd,
  "_received_at" timestamp NOT NULL ENCODE az64,
  "_raw_file" varchar(1024) NOT NULL ENCODE zstd
) DISTSTYLE AUTO COMPOUND SORTKEY ("at")"""
LEDGER = """CREATE TABLE IF NOT EXISTS "acequia"."load_ledger_things" (
  "uri" varchar(1024) NOT NULL ENCODE zstd,
  "etag" varchar(128) NOT NULL ENCODE zstd,
  "row_count" bigint NOT NULL ENCODE az64,
  "inserted" bigint NOT NULL ENCODE az64,
  "duplicate" bigint NOT NULL ENCODE az64,
  "replaced" bigint NOT NULL ENCODE az64,
  "bytes" bigint NOT NULL ENCODE az64,
  "group_id" varchar(64) NOT NULL ENCODE zstd,
  "loaded_at" timestamp NOT NULL ENCODE raw,
  "batch_id" varchar(64) ENCODE zstd,
  "produced_at" timestamp ENCODE az64,
  "superseded_at" timestamp ENCODE az64
) DISTSTYLE AUTO COMPOUND SORTKEY ("loaded_at")"""
SELECTED = (
    '"uri", "etag", "row_count", "inserted", "duplicate", "replaced", "bytes", "group_id", "loaded_at", '
    '"batch_id", "produced_at", "superseded_at"'
)


@pytest.fixture
def templates() -> Statements:
    """The DDL of sql/."""
    return Statements.load(PROJECT / "sql" / "schema" / "dataset.sql", expected=TABLE_STATEMENTS)


def test_a_dataset_has_a_ledger_and_a_table(define: Callable[..., Dataset], templates: Statements) -> None:
    assert Ledgers(templates).table("things").text == LEDGER
    assert Tables(templates, define(COLUMNS)).dataset_table().text == TABLE


@pytest.mark.parametrize(
    ("style", "text"), [("even", "DISTSTYLE EVEN COMPOUND"), ("id", 'DISTSTYLE KEY DISTKEY ("id") COMPOUND')]
)
def test_the_dataset_says_how_its_rows_are_distributed(
    define: Callable[..., Dataset], templates: Statements, style: str, text: str
) -> None:
    dataset = replace(define(COLUMNS), diststyle=style)
    assert text in Tables(templates, dataset).dataset_table().text


def test_a_column_added_later_is_never_not_null(define: Callable[..., Dataset], templates: Statements) -> None:
    added = Tables(templates, define(COLUMNS)).column_add("paid", "boolean")
    assert added.text == 'ALTER TABLE "lake"."things" ADD COLUMN "paid" boolean ENCODE raw'


def test_a_column_added_to_an_older_ledger_is_never_not_null(templates: Statements) -> None:
    added = Ledgers(templates).column_add("things", "produced_at", "timestamp")
    assert added.text == 'ALTER TABLE "acequia"."load_ledger_things" ADD COLUMN "produced_at" timestamp ENCODE az64'


def test_the_view_unites_all_ledgers_by_name(templates: Statements) -> None:
    assert Ledgers(templates).view(["others", "things"]).text == (
        "CREATE OR REPLACE VIEW acequia.load_ledger AS\n"
        f'SELECT CAST(\'others\' AS varchar(63)) AS dataset, {SELECTED} FROM "acequia"."load_ledger_others"\n'
        "UNION ALL\n"
        f'SELECT CAST(\'things\' AS varchar(63)) AS dataset, {SELECTED} FROM "acequia"."load_ledger_things"'
    )


@pytest.mark.parametrize(
    ("written", "large_strings", "staged"),
    [
        ("super", False, "varchar(65535)"),
        ("super", True, "super"),
        ("decimal(5,1)", False, "decimal(5,1)"),
        ("decimal(5,1)", True, "decimal(5,1)"),
    ],
)
def test_super_is_staged_as_text_while_a_text_can_hold_it(written: str, staged: str, *, large_strings: bool) -> None:
    assert stage_type(written, large_strings=large_strings) == staged


MADE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (?P<name>\S+) \(\n(?P<columns>.*)\n\) "
    r"DISTSTYLE (?:AUTO|EVEN|ALL|KEY DISTKEY \(\S+\)) COMPOUND SORTKEY \((?P<sort_key>\w+)\)",
    re.DOTALL,
)
COLUMN = re.compile(r"  (?P<name>\w+) (?P<type>[a-z]+(?: precision)?)(?:\([\d,]+\))?(?: NOT NULL)? ENCODE (?P<how>\w+)")
NOW = datetime(2024, 3, 4, 12, tzinfo=UTC)
ENCODINGS = {
    "raw": ("boolean", "real", "double precision"),
    "az64": ("smallint", "integer", "bigint", "decimal", "date", "timestamp"),
    "zstd": ("varchar", "super"),
    "lzo": ("varchar",),
}


@dataclass(frozen=True, slots=True)
class Made:
    """A table as its DDL says. `columns` are (type, encoding) by name."""

    columns: Mapping[str, tuple[str, str]]
    sort_key: str


@pytest.fixture
async def made() -> dict[str, Made]:
    """Every table that a first migration with the shipped definitions makes."""
    journal = Journal()
    empty = FakeWarehouse(journal, FakeStore(journal), [])
    empty.ledgers.clear()
    steps = await Migration(PROJECT / "sql", load_datasets(PROJECT / "datasets"), empty).plan(NOW)
    texts = [statement.text for step in steps for statement in step.statements if "CREATE TABLE" in statement.text]
    return dict(_made(text) for text in texts)


async def test_a_migration_makes_ledgers_errors_and_datasets(made: Mapping[str, Made]) -> None:
    datasets = load_datasets(PROJECT / "datasets")
    expected = {"acequia.schema_migrations", "acequia.errors", *(f"lake.{name}" for name in datasets)}
    assert made.keys() == expected | {f"acequia.load_ledger_{name}" for name in (*datasets, "errors")}


async def test_every_table_is_encoded_as_its_types_ask(made: Mapping[str, Made]) -> None:
    for table, given in made.items():
        assert given.columns[given.sort_key] == ("timestamp", "raw"), f"{table}: the sort key is a moment, and RAW"
        for name, (kind, how) in given.columns.items():
            fits = kind in ENCODINGS[how]
            assert fits or name == given.sort_key, f"{table}.{name} is {kind} ENCODE {how}"


async def test_the_errors_table_can_be_loaded_as_datasets_are(made: Mapping[str, Made]) -> None:
    errors = made["acequia.errors"]
    assert list(errors.columns)[-len(SYSTEM_COLUMNS) :] == [name for name, _ in SYSTEM_COLUMNS]
    assert list(errors.columns) == [name for name, _ in ERRORS.stored_columns]
    assert errors.sort_key == "first_failed_at"


def test_a_table_lies_in_its_datasets_schema(define: Callable[..., Dataset], templates: Statements) -> None:
    tables = Tables(templates, replace(define(COLUMNS), schema="acequia"))
    statements = [tables.dataset_table(), tables.column_add("a", "date"), tables.column_widen("a", "varchar(9)")]
    assert all(' "acequia"."things" ' in statement.text for statement in statements)


def _made(text: str) -> tuple[str, Made]:
    found = MADE.fullmatch(text.replace('"', ""))
    assert found is not None, text
    columns = [COLUMN.fullmatch(line.removesuffix(",")) for line in found["columns"].split("\n")]
    assert None not in columns, text
    return found["name"], Made({c["name"]: (c["type"], c["how"]) for c in columns if c is not None}, found["sort_key"])
