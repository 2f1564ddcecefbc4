"""The DDL of a small dataset, byte for byte."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from service.core.datasets import Dataset
from service.load.statements import Statements
from service.load.tables import TABLE_STATEMENTS, Tables, stage_type
from service.settings import PROJECT

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
  uri varchar(1024) NOT NULL ENCODE zstd,
  etag varchar(128) NOT NULL ENCODE zstd,
  row_count bigint NOT NULL ENCODE az64,
  inserted bigint NOT NULL ENCODE az64,
  duplicate bigint NOT NULL ENCODE az64,
  replaced bigint NOT NULL ENCODE az64,
  bytes bigint NOT NULL ENCODE az64,
  group_id varchar(64) NOT NULL ENCODE zstd,
  loaded_at timestamp NOT NULL ENCODE raw
) DISTSTYLE AUTO COMPOUND SORTKEY (loaded_at)"""
LEDGER_COLUMNS = "uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at"


@pytest.fixture
def templates() -> Statements:
    """The DDL of sql/."""
    return Statements.load(PROJECT / "sql" / "schema" / "dataset.sql", expected=TABLE_STATEMENTS)


def test_a_dataset_has_a_ledger_and_a_table(define: Callable[..., Dataset], templates: Statements) -> None:
    tables = Tables(templates, define(COLUMNS))
    assert (tables.ledger_table().text, tables.dataset_table().text) == (LEDGER, TABLE)


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


def test_the_view_unites_all_ledgers_by_name(templates: Statements) -> None:
    assert Tables.ledger_view(templates, ["others", "things"]).text == (
        "CREATE OR REPLACE VIEW acequia.load_ledger AS\n"
        f'SELECT \'others\' AS dataset, {LEDGER_COLUMNS} FROM "acequia"."load_ledger_others"\nUNION ALL\n'
        f'SELECT \'things\' AS dataset, {LEDGER_COLUMNS} FROM "acequia"."load_ledger_things"'
    )


@pytest.mark.parametrize(("written", "staged"), [("super", "varchar(65535)"), ("decimal(5,1)", "decimal(5,1)")])
def test_only_super_is_staged_as_text(written: str, staged: str) -> None:
    assert stage_type(written) == staged
