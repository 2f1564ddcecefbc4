"""The statements of a loader that stages, compares and moves rows."""

from datetime import datetime

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from tests.standin.lake import Lake, count, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def events(connection: asyncpg.Connection, lake: Lake, table: str) -> str:
    """A table of three rows in a schema of its own, and a temporary table `stage` of three rows, one of them new."""
    name = f"{table}_s.events"
    await connection.execute(f"CREATE SCHEMA {table}_s")
    await connection.execute(f"CREATE TABLE {name} (_record_id varchar(20), kind varchar(10), ts timestamp, n int)")
    await connection.execute("CREATE TEMP TABLE stage (no bigint IDENTITY(0, 1), _record_id varchar(20), n int)")
    await connection.execute(
        f"INSERT INTO {name} VALUES "
        "('a', 'x', '2026-01-01', 1), ('b', 'x', '2026-01-02', 2), ('c', 'y', '2026-01-03', 3)"
    )
    file = await lake.file({"r": pa.array(["b", "c", "d"]), "n": pa.array([1, 2, 3], pa.int32())})
    await connection.execute(await lake.copy("stage (_record_id, n)", file))
    return name


async def test_rows_that_a_temporary_table_names_are_deleted(connection: asyncpg.Connection, events: str) -> None:
    delete = f"DELETE FROM {events} WHERE _record_id IN (SELECT _record_id FROM stage)"
    assert await connection.execute(delete) == "DELETE 2"
    assert await connection.execute(f"DELETE FROM {events} WHERE kind IN ('x', 'y')") == "DELETE 1"
    assert await connection.execute("DROP TABLE stage") == "DROP TABLE"


async def test_rows_of_listed_batches_are_updated(connection: asyncpg.Connection, events: str) -> None:
    update = f"UPDATE {events} SET kind = _record_id, n = n + 1 WHERE _record_id IN ('a', 'c')"
    assert await connection.execute(update) == "UPDATE 2"
    assert await row(connection, f"SELECT SUM(n), MIN(kind), MAX(kind) FROM {events}") == (8, "a", "x")


async def test_a_left_join_with_constants_in_its_condition(connection: asyncpg.Connection, events: str) -> None:
    found = await connection.fetch(
        "SELECT s._record_id, e.n AS n, CASE WHEN e.n IS NULL THEN 'new' ELSE 'old' END AS state, s.no FROM stage AS s "
        f"LEFT JOIN {events} AS e ON e._record_id = s._record_id AND e.kind = 'y' AND e.n > 0 ORDER BY 1"
    )
    assert [tuple(each) for each in found] == [("b", None, "new", 0), ("c", 3, "old", 1), ("d", None, "new", 2)]


async def test_first_last_and_sums(connection: asyncpg.Connection, events: str) -> None:
    found = await row(
        connection, f"SELECT MIN(ts), MAX(ts), SUM(n), COUNT(*), SUM(CASE WHEN n > 1 THEN 1 ELSE 0 END) FROM {events}"
    )
    assert found == (datetime(2026, 1, 1), datetime(2026, 1, 3), 6, 3, 2)  # noqa: DTZ001 - a TIMESTAMP has no zone
    assert await row(connection, f"SELECT MIN(ts), SUM(n) FROM {events} WHERE n > 9") == (None, None)


async def test_a_column_is_added_with_an_encoding(connection: asyncpg.Connection, events: str) -> None:
    await connection.execute(f"ALTER TABLE {events} ADD COLUMN label varchar(64) DEFAULT 'none' ENCODE zstd")
    await connection.execute(f"ALTER TABLE {events} ADD COLUMN rest super ENCODE ZSTD")
    assert await count(connection, f"{events} WHERE label = 'none' AND rest IS NULL") == 3
