"""`acequia migrate` against the stand-in: from nothing, again, from older definitions and ledgers, and refusals."""

from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from service.core.definitions import load_datasets
from service.core.errors_dataset import ERRORS
from service.load.failures import FAILURES_COLUMNS
from service.load.statements import Statements
from service.load.tables import TABLE_STATEMENTS
from tests.stack.conftest import PROJECT, Program, Starter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

DEFINITION = """
key = ["id"]
event_time = "at"
[[column]]
name = "id"
type = "varchar(10)"
required = true
[[column]]
name = "at"
type = "timestamp"
required = true
"""
MORE = """
[[column]]
name = "note"
type = "varchar(20)"
required = true
"""
OLD_COLUMNS = "uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at"
OLD_LEDGER = """
CREATE TABLE acequia.load_ledger_{dataset} (
  uri varchar(1024) NOT NULL ENCODE zstd,
  etag varchar(128) NOT NULL ENCODE zstd,
  row_count bigint NOT NULL ENCODE az64,
  inserted bigint NOT NULL ENCODE az64,
  duplicate bigint NOT NULL ENCODE az64,
  replaced bigint NOT NULL ENCODE az64,
  bytes bigint NOT NULL ENCODE az64,
  group_id varchar(64) NOT NULL ENCODE zstd,
  loaded_at timestamp NOT NULL ENCODE raw
) DISTSTYLE AUTO COMPOUND SORTKEY (loaded_at)
"""
OLD_ROW = """
INSERT INTO acequia.load_ledger_{dataset}
VALUES ('s3://refined/{dataset}', 'e', 3, 2, 1, 0, 99, 'g', '2024-03-04 12:00:00')
"""
OLD_VIEW = """
CREATE VIEW acequia.load_ledger AS
SELECT 'gone' AS dataset, {columns} FROM acequia.load_ledger_gone
UNION ALL SELECT 'things' AS dataset, {columns} FROM acequia.load_ledger_things
"""
LATER = ("batch_id", "produced_at", "superseded_at")
NEW_IN_ERRORS = ("state", "updated_at", "round_id")
"""What the table of what was rejected lacked at first."""
TEMPLATES = Statements.load(PROJECT / "sql" / "schema" / "dataset.sql", expected=TABLE_STATEMENTS)
VIEW = TEMPLATES.render("failures_view").text
NARROWER = "CREATE VIEW acequia.failures AS SELECT fingerprint, code FROM acequia.errors"


@pytest.fixture
def environment(start: Starter) -> Mapping[str, str]:
    """The environment of a stack whose tables are made from other definitions."""
    stack = start("local", "--stack-only", "--env-file", "stack.env")
    stack.until("keep running")
    (start.directory / "defined").mkdir()
    pairs = dict(line.split("=", 1) for line in (start.directory / "stack.env").read_text().splitlines())
    return {**pairs, "ACEQUIA_DATASETS_DIRECTORY": str(start.directory / "defined")}


async def test_a_table_follows_its_definition_and_a_second_run_changes_nothing(
    start: Starter, environment: Mapping[str, str]
) -> None:
    definition = start.directory / "defined" / "things.toml"
    assert _migrated(start, environment, definition, DEFINITION) == [
        "-- ledger of things",
        "-- view acequia.load_ledger",
        "-- table lake.things",
    ]
    assert _migrated(start, environment, definition, DEFINITION) == []
    wider = DEFINITION.replace("varchar(10)", "varchar(30)") + MORE
    planned = _finished(start, environment, "--dry-run", definition=definition, text=wider)
    assert 'ALTER TABLE "lake"."things" ALTER COLUMN "id" TYPE varchar(30);' in planned.lines
    assert 'ALTER TABLE "lake"."things" ADD COLUMN "note" varchar(20) ENCODE zstd;' in planned.lines
    assert await _columns(environment) == {"id": ("character varying", 10, "NO"), **AT}
    assert _migrated(start, environment, definition, wider) == [
        "-- column id of lake.things: varchar(10) to varchar(30)",
        "-- column note of lake.things",
    ]
    found = await _columns(environment)
    assert found["id"][1] == 30
    assert found["note"] == ("character varying", 20, "YES"), "never NOT NULL, though the definition requires it"


async def test_another_change_is_refused_with_what_a_person_would_run(
    start: Starter, environment: Mapping[str, str]
) -> None:
    definition = start.directory / "defined" / "things.toml"
    _migrated(start, environment, definition, DEFINITION + MORE)
    changed = DEFINITION + MORE.replace("varchar(20)", "bigint")
    program = _finished(start, environment, definition=definition, text=changed)
    assert program.process.returncode == 2
    assert len(program.lines) == 1
    assert "column note: is varchar(20), the definition says bigint" in program.text
    assert 'A person would run: ALTER TABLE "lake"."things" ADD COLUMN "note_new" bigint;' in program.text
    assert (await _columns(environment))["note"][0] == "character varying"


async def test_an_older_table_of_what_was_rejected_gets_its_columns_a_ledger_and_a_view(
    start: Starter, environment: Mapping[str, str]
) -> None:
    definition = start.directory / "defined" / "things.toml"
    _migrated(start, environment, definition, DEFINITION)
    columns = ", ".join(f"{name} {kind}" for name, kind in ERRORS.stored_columns if name not in NEW_IN_ERRORS)
    await _execute(
        environment,
        "DROP VIEW acequia.failures",
        "DROP TABLE acequia.errors",
        f"CREATE TABLE acequia.errors ({columns})",
        "DROP VIEW acequia.load_ledger",
        "DROP TABLE acequia.load_ledger_errors",
        "DELETE FROM acequia.schema_migrations WHERE name = 'acequia.failures'",
        "INSERT INTO acequia.schema_migrations VALUES ('002_errors.sql', 'of another version', '2024-03-04 12:00:00')",
    )
    assert _migrated(start, environment, definition, DEFINITION) == [
        "-- ledger of errors",
        "-- view acequia.load_ledger",
        *(f"-- column {name} of acequia.errors" for name in NEW_IN_ERRORS),
        "-- view acequia.failures",
    ]
    assert _migrated(start, environment, definition, DEFINITION) == []
    found = await _columns(environment, "acequia", "errors")
    assert list(found)[-len(NEW_IN_ERRORS) :] == [*NEW_IN_ERRORS], "at the end"
    assert found["state"] == ("character varying", 16, "YES")
    assert tuple(await _columns(environment, "acequia", "failures")) == FAILURES_COLUMNS


async def test_a_view_of_another_version_is_remade_once(start: Starter, environment: Mapping[str, str]) -> None:
    definition = start.directory / "defined" / "things.toml"
    _migrated(start, environment, definition, DEFINITION)
    for older in (NARROWER, VIEW.replace("MIN(sentence)", "MAX(sentence)")):
        await _execute(
            environment,
            "DROP VIEW acequia.failures",
            older,
            "UPDATE acequia.schema_migrations SET checksum = 'of another version' WHERE name = 'acequia.failures'",
        )
        assert _migrated(start, environment, definition, DEFINITION) == ["-- view acequia.failures"]
        assert tuple(await _columns(environment, "acequia", "failures")) == FAILURES_COLUMNS
    assert _migrated(start, environment, definition, DEFINITION) == []


async def test_a_view_makes_way_for_a_column_to_be_widened(start: Starter, environment: Mapping[str, str]) -> None:
    definition = start.directory / "defined" / "things.toml"
    _migrated(start, environment, definition, DEFINITION)
    columns = ", ".join(f"{name} {kind}" for name, kind in ERRORS.stored_columns)
    narrow = f"CREATE TABLE acequia.errors ({columns.replace('code varchar(32)', 'code varchar(8)')})"
    await _execute(environment, "DROP VIEW acequia.failures", "DROP TABLE acequia.errors", narrow, VIEW)
    assert _migrated(start, environment, definition, DEFINITION) == [
        "-- view acequia.failures, out of the way",
        "-- column code of acequia.errors: varchar(8) to varchar(32)",
        "-- view acequia.failures",
    ]
    assert _migrated(start, environment, definition, DEFINITION) == []
    assert (await _columns(environment, "acequia", "errors"))["code"][1] == 32


async def test_an_older_ledger_keeps_its_rows_and_gets_the_new_columns(
    start: Starter, environment: Mapping[str, str]
) -> None:
    definition = start.directory / "defined" / "things.toml"
    await _older_ledgers(environment)
    planned = _finished(start, environment, "--dry-run", definition=definition, text=DEFINITION)
    assert planned.process.returncode == 0, planned.text
    gone, things = ('"acequia"."load_ledger_gone"', '"acequia"."load_ledger_things"')
    types = ("varchar(64) ENCODE zstd", "timestamp ENCODE az64", "timestamp ENCODE az64")
    for ledger in (gone, things):
        for name, written in zip(LATER, types, strict=True):
            assert f'ALTER TABLE {ledger} ADD COLUMN "{name}" {written};' in planned.lines
    assert "DROP VIEW acequia.load_ledger;" in planned.lines
    with pytest.raises(asyncpg.UndefinedColumnError):
        await _ledgered(environment)

    assert _migrated(start, environment, definition, DEFINITION) == [
        *(f"-- column {name} of the ledger of gone" for name in LATER),
        *(f"-- column {name} of the ledger of things" for name in LATER),
        "-- view acequia.load_ledger",
        "-- table lake.things",
    ]
    assert _migrated(start, environment, definition, DEFINITION) == []
    assert await _ledgered(environment) == [
        ("gone", "s3://refined/gone", 3, None, None, None),
        ("things", "s3://refined/things", 3, None, None, None),
    ]


async def test_a_view_that_somebody_built_on_ours_is_not_taken_away(
    start: Starter, environment: Mapping[str, str]
) -> None:
    definition = start.directory / "defined" / "things.toml"
    await _older_ledgers(environment)
    await _execute(environment, "CREATE VIEW acequia.mine AS SELECT uri FROM acequia.load_ledger")
    program = _finished(start, environment, definition=definition, text=DEFINITION)
    assert program.process.returncode == 2, program.text
    assert "ledger_view_drop" in program.text
    await _execute(environment, "DROP VIEW acequia.mine")
    assert _migrated(start, environment, definition, DEFINITION)[0] == "-- view acequia.load_ledger"


AT = {
    "at": ("timestamp without time zone", None, "NO"),
    "_record_id": ("character varying", 64, "NO"),
    "_received_at": ("timestamp without time zone", None, "NO"),
    "_raw_file": ("character varying", 1024, "NO"),
}


def _finished(start: Starter, environment: Mapping[str, str], *options: str, definition: Path, text: str) -> Program:
    definition.write_text(text)
    program = start("migrate", *options, **environment)
    program.finish()
    return program


def _migrated(start: Starter, environment: Mapping[str, str], definition: Path, text: str) -> list[str]:
    program = _finished(start, environment, definition=definition, text=text)
    assert program.process.returncode == 0, program.text
    return program.lines


async def _columns(
    environment: Mapping[str, str], schema: str = "lake", table: str = "things"
) -> dict[str, tuple[str, int | None, str]]:
    connection = await _connected(environment)
    try:
        rows = await connection.fetch(
            "SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns "
            f"WHERE table_schema = '{schema}' AND table_name = '{table}' ORDER BY ordinal_position"
        )
    finally:
        await connection.close()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def _older_ledgers(environment: Mapping[str, str]) -> None:
    """Two ledgers as the first version made them, each with a row; one of them is of a dataset that is gone."""
    statements = ["DROP VIEW acequia.load_ledger"]
    statements += [f"DROP TABLE acequia.load_ledger_{dataset}" for dataset in load_datasets(PROJECT / "datasets")]
    for dataset in ("gone", "things"):
        statements += [OLD_LEDGER.format(dataset=dataset), OLD_ROW.format(dataset=dataset)]
    await _execute(environment, *statements, OLD_VIEW.format(columns=OLD_COLUMNS))


async def _execute(environment: Mapping[str, str], *statements: str) -> None:
    connection = await _connected(environment)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _connected(environment: Mapping[str, str]) -> asyncpg.Connection:
    return await asyncpg.connect(environment["ACEQUIA_WAREHOUSE_DSN"], statement_cache_size=0)


async def _ledgered(environment: Mapping[str, str]) -> list[tuple[object, ...]]:
    connection = await _connected(environment)
    try:
        rows = await connection.fetch(
            f"SELECT dataset, uri, row_count, {', '.join(LATER)} FROM acequia.load_ledger ORDER BY dataset"
        )
    finally:
        await connection.close()
    return [tuple(row) for row in rows]
