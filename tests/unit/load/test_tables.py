"""The DDL of a small dataset, byte for byte."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from service.core.datasets import Dataset
from service.load.tables import schema_statements, stage_type
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
  loaded_at timestamp NOT NULL ENCODE az64
) DISTSTYLE AUTO SORTKEY (loaded_at)"""
LEDGER_COLUMNS = "uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at"


def test_a_dataset_has_a_ledger_and_a_table(define: Callable[..., Dataset]) -> None:
    made = schema_statements(PROJECT / "sql", [define(COLUMNS)])
    assert [statement.name for statement in made] == [
        "service_schema",
        "lake_schema",
        "ledger_table",
        "dataset_table",
        "ledger_view",
    ]
    assert (made[2].text, made[3].text) == (LEDGER, TABLE)


def test_the_view_unites_all_ledgers_by_name(define: Callable[..., Dataset]) -> None:
    things = define()
    made = schema_statements(PROJECT / "sql", [things, replace(things, name="others")])
    assert made[-1].text == (
        "CREATE OR REPLACE VIEW acequia.load_ledger AS\n"
        f'SELECT \'others\' AS dataset, {LEDGER_COLUMNS} FROM "acequia"."load_ledger_others"\nUNION ALL\n'
        f'SELECT \'things\' AS dataset, {LEDGER_COLUMNS} FROM "acequia"."load_ledger_things"'
    )


@pytest.mark.parametrize(("written", "staged"), [("super", "varchar(65535)"), ("decimal(5,1)", "decimal(5,1)")])
def test_only_super_is_staged_as_text(written: str, staged: str) -> None:
    assert stage_type(written) == staged
