"""`acequia migrate` against the stand-in: from nothing, again, with a changed definition, and what it refuses."""

from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from tests.stack.conftest import Program, Starter

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
        "-- table lake.things",
        "-- view acequia.load_ledger",
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
        "-- view acequia.load_ledger",
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


async def _columns(environment: Mapping[str, str]) -> dict[str, tuple[str, int | None, str]]:
    connection = await asyncpg.connect(environment["ACEQUIA_WAREHOUSE_DSN"], statement_cache_size=0)
    try:
        rows = await connection.fetch(
            "SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns "
            "WHERE table_schema = 'lake' AND table_name = 'things'"
        )
    finally:
        await connection.close()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
