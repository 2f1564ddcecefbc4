"""What PostgreSQL would do and Redshift does not, or does otherwise: nothing of it passes in silence."""

from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.standin.lake import refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

LONG_NAME = "a_name_of_more_than_sixty_three_bytes_which_postgresql_would_cut_off"


@pytest_asyncio.fixture(loop_scope="session")
async def rows(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMP TABLE r (a int, b varchar(9)); INSERT INTO r VALUES (1, 'x'), (2, 'y')")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT SUM(a) OVER (ORDER BY b) FROM r",  # R
         "Aggregate window functions with an ORDER BY clause require a frame clause"),
        ("SELECT FIRST_VALUE(a) IGNORE NULLS OVER (PARTITION BY a ORDER BY b) FROM r",
         "Aggregate window functions with an ORDER BY clause require a frame clause"),
        ("ALTER TABLE r ADD COLUMN c int NOT NULL",  # R
         "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"),
        ("INSERT INTO r (a) VALUES ((SELECT 1)), (2)", "can't use subqueries in multi-row VALUES"),  # D
        ("SELECT a AS q FROM r AS x INNER JOIN ONLY r AS y ON x.a = y.a", 'syntax error at or near "JOIN"'),
        ("INSERT INTO r AS q (a) VALUES (5)", 'syntax error at or near "AS"'),
        ("SELECT FROM r", 'syntax error at or near "SELECT"'),
        ("CREATE TABLE q (a int ENCODE nonsense)", 'syntax error at or near "nonsense"'),
        ("CREATE TABLE q (LIKE r INCLUDING ALL)", 'syntax error at or near "INCLUDING"'),
        ("CREATE TABLE q (a int) DISTKEY(b)", 'column "b" named in key does not exist'),
        ("CREATE TABLE q (a int, PRIMARY KEY (b))", 'column "b" named in key does not exist'),
        ("SELECT EXTRACT(day FROM GETDATE() - GETDATE())", "function extract(unknown, interval) does not exist"),
        ("SELECT CONCAT('a', 'b', 'c')", "function concat(unknown, unknown, unknown) does not exist"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("rows")
async def test_refused_with_a_text(connection: asyncpg.Connection, sql: str, message: str) -> None:
    assert (await refused(connection, sql)).message == message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT SUM(a) OVER (ORDER BY b RANGE UNBOUNDED PRECEDING) FROM r",
        "SELECT SUM(a) OVER (ORDER BY b ROWS UNBOUNDED PRECEDING EXCLUDE TIES) FROM r",
        "SELECT LAG(a, 1, 0) OVER (ORDER BY b) FROM r",
        "ALTER TABLE r ADD COLUMN c int UNIQUE",
        "ALTER TABLE r ADD COLUMN c int REFERENCES r (a)",
        "CREATE TABLE q (a interval)",
        "CREATE TABLE q (a decimal(5, 9))",
        "CREATE TABLE q (a decimal(5, -2))",
        "CREATE TABLE q (a timestamp(3))",
        "CREATE TABLE q (a super SORTKEY)",
        "CREATE TABLE q (a super) DISTKEY(a)",
        "CREATE TABLE q (a int PRIMARY KEY, b int PRIMARY KEY)",
        f"SELECT 1 AS {LONG_NAME}",
        "UPDATE r SET (a, b) = (1, 'z')",
        "DELETE FROM ONLY r",
        "SELECT (r).a FROM r",
        "SELECT (1, 2) = (1, 2)",
        "SELECT COUNT(DISTINCT (a, b)) FROM r",
        "SELECT a FROM r EXCEPT ALL SELECT 1",
        "SELECT 0x1F",
        "SELECT 1_000",
        'SELECT b COLLATE "C" FROM r',
        "SELECT a FROM r ORDER BY b USING <",
        "SELECT CURRENT_CATALOG",
        "SELECT LEFT('abc', -1)",
        "SELECT RIGHT('abc', -1)",
        "SELECT SPLIT_PART('a.b', '.', -1)",
        "SELECT EXTRACT(century FROM GETDATE())",
        "SELECT EXTRACT(second FROM '2026-01-01 00:00:01.5'::timestamp)",
    ],
)
@pytest.mark.usefixtures("rows")
async def test_refused_where_the_text_is_unknown(connection: asyncpg.Connection, sql: str) -> None:  # U
    found = await refused(connection, sql)
    assert found.sqlstate in {"0A000", "42601", "22023", "42P16"}
    if found.sqlstate != "42601":
        assert found.message.startswith("[stand-in]")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CONCAT('a', NULL)", None),
        ("CONCAT('a', 'b')", "ab"),
        ("LEFT('abc', 2) || RIGHT('abc', 1) || SPLIT_PART('a.b', '.', 2)", "abcb"),
        ("EXTRACT(year FROM '2026-01-02'::date)", 2026),
        ("EXTRACT('dow' FROM '2026-01-02 10:00'::timestamp)", 5),
        ("EXTRACT(hour FROM '2026-01-02 10:00'::timestamptz)", 10.0),
        ("EXTRACT(doy FROM '2026-02-01'::timestamp)", 32),
    ],
)
async def test_answered_as_redshift_does(connection: asyncpg.Connection, expression: str, expected: Any) -> None:
    assert await connection.fetchval(f"SELECT {expression}") == expected


async def test_of_columns_too(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMP TABLE c (s varchar(9), n int, t timestamp, u timestamp)")
    values = ", ".join(["('a.b', 1, '2026-01-02', '2026-01-01 12:00:00.4')"] * 20)  # more than PostgreSQL plans anew
    await connection.execute(f"INSERT INTO c VALUES {values}")
    await connection.execute("CREATE TEMP TABLE d (s char(9)); INSERT INTO d SELECT s FROM c")
    assert await row(
        connection,
        "SELECT DISTINCT LEFT(s, n), RIGHT(s, n), SPLIT_PART(s, '.', n), CONCAT(s, NULL), EXTRACT(day FROM t), "
        "EXTRACT(epoch FROM t)::int, EXTRACT(EPOCH FROM (t - u))::int FROM c",
    ) == ("a", "b", "a", None, 2, 1767312000, 43200)
    for call in ("LEFT(s, -n)", "RIGHT(s, -n)", "SPLIT_PART(s, '.', n - 1)", "EXTRACT(second FROM u)"):
        assert (await refused(connection, f"SELECT {call} FROM c")).message.startswith("[stand-in]")


@pytest.mark.usefixtures("rows")
async def test_the_like_of_these_still_works(connection: asyncpg.Connection) -> None:
    sql = "SELECT SUM(a) OVER (ORDER BY b ROWS UNBOUNDED PRECEDING), RANK() OVER (ORDER BY a DESC) FROM r ORDER BY 1"
    assert [tuple(found) for found in await connection.fetch(sql)] == [(1, 2), (3, 1)]
    assert await row(connection, "SELECT COUNT(*), COUNT(DISTINCT (a)) FROM r WHERE (a, b) IN (SELECT 1, 'x')") == (
        1,
        1,
    )
    assert await row(connection, "SELECT (a), (a + 1) * 2 FROM r WHERE (a = 1 OR a > 5) AND (b = 'x')") == (1, 4)
    assert await connection.execute("INSERT INTO r (a, b) VALUES (3, 'z'), (4, NVL(NULL, 'w'))") == "INSERT 0 2"


async def test_quoted_names_are_lower_case_too(connection: asyncpg.Connection, table: str) -> None:  # D
    await connection.execute(f'CREATE TABLE "{table.upper()}" ("Bar" int, "PRIMARY key" int)')
    await connection.execute(f'INSERT INTO {table} (bar, "primary KEY") VALUES (1, 2)')
    (found,) = await connection.fetch(
        f'SELECT "BAR" AS "Name", "Primary Key", \'"Kept"\' AS s FROM {table} AS "T" WHERE t.bar = 1'
    )
    assert dict(found) == {"name": 1, "primary key": 2, "s": '"Kept"'}
