"""SVV_TABLE_INFO tells what is known here, and nothing else."""

import asyncpg
import pytest

from tests.standin.lake import Stack, refused
from tests.standin.test_rights import PASSWORD, dsn_of

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


async def test_tables_that_hold_rows_are_listed_with_their_number(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(
        f"CREATE SCHEMA {table}; CREATE TABLE {table}.full (a int); CREATE TABLE {table}.none (a int)"
    )
    await connection.execute(f"INSERT INTO {table}.full VALUES (1), (2)")
    found = await connection.fetch(
        f"SELECT schema, \"table\", tbl_rows::bigint AS n FROM svv_table_info WHERE schema = '{table}'"
    )
    assert [tuple(each) for each in found] == [(table, "full", 2)]


@pytest.mark.parametrize("column", ["size", "unsorted", "stats_off", "encoded", "diststyle", "sortkey1", "*"])
async def test_what_is_not_known_is_refused(connection: asyncpg.Connection, table: str, column: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
    found = await refused(connection, f"SELECT {column} FROM svv_table_info")
    assert (found.sqlstate, found.message[:10]) == ("0A000", "[stand-in]")
    assert await connection.fetch(f"SELECT table_id FROM svv_table_info WHERE \"table\" = '{table}'")


async def test_it_is_the_superusers(connection: asyncpg.Connection, stack: Stack, table: str) -> None:
    await connection.execute(f"CREATE USER {table}_u PASSWORD '{PASSWORD}'")
    user = await asyncpg.connect(dsn_of(stack, f"{table}_u"), statement_cache_size=0)
    found = await refused(user, "SELECT tbl_rows FROM svv_table_info")
    assert (found.sqlstate, found.message) == ("42501", "permission denied for relation svv_table_info")
    await user.close()
