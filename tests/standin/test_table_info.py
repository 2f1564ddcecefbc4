"""SVV_TABLE_INFO tells what is known here, and nothing else."""

import asyncpg
import pytest

from tests.standin.lake import Stack, refused
from tests.standin.test_rights import PASSWORD, dsn_of

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


async def test_tables_are_listed_with_the_number_of_their_rows(connection: asyncpg.Connection, table: str) -> None:
    """Redshift lists none that is empty; here they are listed too, as the docs say."""
    await connection.execute(
        f"CREATE SCHEMA {table}; CREATE TABLE {table}.full (a int); CREATE TABLE {table}.none (a int)"
    )
    await connection.execute(f"INSERT INTO {table}.full VALUES (1), (2)")
    found = await connection.fetch(
        f"SELECT schema, \"table\", tbl_rows::bigint AS n FROM svv_table_info WHERE schema = '{table}' ORDER BY 2"
    )
    assert [tuple(each) for each in found] == [(table, "full", 2), (table, "none", 0)]


@pytest.mark.parametrize("column", ["size", "unsorted", "stats_off", "encoded", "sortkey1", "*"])
async def test_what_is_not_known_is_refused(connection: asyncpg.Connection, table: str, column: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
    found = await refused(connection, f"SELECT {column} FROM svv_table_info")
    assert (found.sqlstate, found.message[:10]) == ("0A000", "[stand-in]")
    assert await connection.fetch(f"SELECT table_id FROM svv_table_info WHERE \"table\" = '{table}'")


@pytest.mark.parametrize(
    ("sql", "style"),
    [
        ("CREATE TABLE {t} (a int)", "AUTO(ALL)"),  # D: what a small table has there
        ("CREATE TABLE {t} (a int) DISTSTYLE AUTO COMPOUND SORTKEY (a)", "AUTO(ALL)"),
        ("CREATE TABLE {t} (a int) DISTSTYLE EVEN", "EVEN"),
        ("CREATE TABLE {t} (a int) DISTSTYLE ALL", "ALL"),
        ('CREATE TABLE {t} (a int, "B c" int) DISTSTYLE KEY DISTKEY ("B c")', "KEY(b c)"),
        ("CREATE TABLE {t} (a int DISTKEY)", "KEY(a)"),
        ("CREATE TABLE {t} (a int, b int) DISTKEY (b); ALTER TABLE {t} RENAME COLUMN b TO c", "KEY(c)"),
        ("CREATE TABLE {t}_x (z int, b int DISTKEY); ALTER TABLE {t}_x DROP COLUMN z; CREATE TABLE {t} (LIKE {t}_x)",
         "KEY(b)"),
        ("CREATE TABLE {t} DISTSTYLE KEY DISTKEY (a) AS SELECT 1 AS a", "KEY(a)"),
        ("SELECT 1 AS a INTO {t}", "AUTO(ALL)"),
        ("CREATE TABLE {t}_y (a int) DISTSTYLE EVEN; CREATE TABLE {t} (a int) DISTSTYLE ALL", "ALL"),
        (("CREATE TABLE {t} (a int) DISTSTYLE EVEN; ALTER TABLE {t} RENAME TO {t}_z; CREATE TABLE {t} (a int) "
         "DISTSTYLE ALL; DROP TABLE {t}; ALTER TABLE {t}_z RENAME TO {t}; ALTER TABLE {t} ADD b int"), "EVEN"),
        (("CREATE TABLE {t} (a int) DISTSTYLE EVEN; DROP TABLE {t}; CREATE TABLE {t} (a int) DISTSTYLE ALL; "
         "CREATE TABLE IF NOT EXISTS {t} (a int DISTKEY); ALTER TABLE {t} ADD COLUMN c int"), "ALL"),
        ("CREATE TABLE {t} (a int) DISTSTYLE EVEN; BEGIN; ALTER TABLE {t} ADD COLUMN b int; COMMIT", "EVEN"),
    ],
)  # fmt: skip
async def test_the_distribution_style_is_what_the_table_was_made_with(
    connection: asyncpg.Connection, table: str, sql: str, style: str
) -> None:
    await connection.execute(sql.format(t=table))
    query = f"SELECT diststyle FROM svv_table_info WHERE \"table\" = '{table}'"
    assert await connection.fetchval(query) == style


async def test_it_is_the_superusers(connection: asyncpg.Connection, stack: Stack, table: str) -> None:
    await connection.execute(f"CREATE USER {table}_u PASSWORD '{PASSWORD}'")
    user = await asyncpg.connect(dsn_of(stack, f"{table}_u"), statement_cache_size=0)
    found = await refused(user, "SELECT tbl_rows FROM svv_table_info")
    assert (found.sqlstate, found.message) == ("42501", "permission denied for relation svv_table_info")
    await user.close()
