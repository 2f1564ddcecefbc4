"""Subqueries that look outward and UPDATE … FROM: what Redshift has no plan for is refused, the rest gives its rows."""

from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.standin.lake import refused

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

PATTERN = "This type of correlated subquery pattern is not supported due to internal error"
NO_EQUIJOIN = "Target table must be part of an equijoin predicate"


@pytest_asyncio.fixture(loop_scope="session")
async def tables(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMP TABLE a (k int, n int); INSERT INTO a VALUES (1, 10), (2, 20), (3, 30)")
    await connection.execute(
        "CREATE TEMP TABLE b (k int, n int); INSERT INTO b VALUES (1, 10), (1, 11), (2, 5), (9, 9)"
    )
    await connection.execute("CREATE TEMP TABLE c (k int, n int); INSERT INTO c VALUES (1, 1)")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k) ORDER BY 1", [1, 2]),
        ("SELECT k FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND b.n > 5) ORDER BY 1", [2, 3]),
        ("SELECT a.k FROM a WHERE n = (SELECT max(b.n) - 1 FROM b WHERE (b.k = a.k))", [1]),
        ("SELECT (SELECT max(b.n) FROM b WHERE b.k = x.k) FROM a AS x WHERE x.k = 1", [11]),
        ("SELECT k FROM a WHERE k IN (SELECT max(k) FROM b GROUP BY n) ORDER BY 1", [1, 2]),
        ("SELECT a.k FROM a LEFT JOIN b ON a.k = b.k AND b.k IN (SELECT k FROM c) WHERE b.k IS NULL", [2, 3]),
        ("SELECT x.k FROM (SELECT k FROM a WHERE k NOT IN (SELECT k FROM b)) AS x", [3]),
        ("WITH x AS (SELECT k FROM a) SELECT k FROM x WHERE EXISTS (SELECT 1 FROM b WHERE b.k = x.k AND b.n = 5)", [2]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("tables")
async def test_what_becomes_a_join_is_done(connection: asyncpg.Connection, sql: str, expected: list[Any]) -> None:
    assert sorted(found[0] for found in await connection.fetch(sql)) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE NOT EXISTS (SELECT 1 FROM c WHERE a.k = c.k))",
        "SELECT * FROM c LEFT JOIN a ON c.k = a.k AND a.n = (SELECT max(b.n) FROM b WHERE b.k = a.k)",
        "SELECT k FROM a WHERE n NOT IN (SELECT sum(n) OVER () FROM b WHERE b.k = a.k)",
        "SELECT a.k, (SELECT count(b.k) FROM b WHERE b.k = a.k) AS found FROM a GROUP BY found, a.k",
        "SELECT a.k, (SELECT count(b.k) FROM b WHERE b.k = a.k) AS found FROM a GROUP BY 1, 2",
        "SELECT * FROM a WHERE k IN (SELECT sum(n) FROM b WHERE n > 4 GROUP BY k)",
        "SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.n > a.n)",
        "SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k OR b.n = 1)",
        "SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.n <> a.n)",
        "SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE CASE WHEN b.k = a.k THEN true ELSE b.n = 1 END)",
        "SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE NOT b.k = a.k)",
        "SELECT k FROM a WHERE k = (SELECT max(a.k + b.k) FROM b)",
        "DELETE FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.n < a.n)",
        "UPDATE a SET n = (SELECT max(b.n) FROM b WHERE b.k > a.k)",
        "CREATE VIEW v AS SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.n > a.n)",
        "SELECT l.oid FROM pg_class AS l WHERE 1 NOT IN (SELECT 1 FROM pg_type WHERE l.relowner = typowner)",
    ],
)
@pytest.mark.usefixtures("tables")
async def test_what_does_not_is_refused(connection: asyncpg.Connection, sql: str) -> None:
    """The patterns D, but for the last three kinds; the text R; the number U."""
    found = await refused(connection, sql)
    assert (found.sqlstate, found.message) == ("0A000", PATTERN)


@pytest.mark.usefixtures("tables")
async def test_update_from_joins_the_target_by_an_equality(connection: asyncpg.Connection) -> None:  # D
    for sql, changed in (
        ("UPDATE a SET n = b.n FROM b WHERE a.k = b.k AND b.n = 5", 1),
        ("UPDATE a AS t SET n = q.n FROM (SELECT k, max(n) AS n FROM b GROUP BY k) AS q WHERE (q.k = t.k)", 2),
        ("UPDATE a SET n = s.n FROM b AS s JOIN c ON c.k = s.k WHERE s.k = a.k + 0 AND a.n > s.n", 1),
        ("UPDATE a SET n = 0 WHERE k IN (SELECT k FROM c)", 1),
    ):
        assert await connection.execute(sql) == f"UPDATE {changed}"
    for sql in (
        "UPDATE a SET n = b.n FROM b",
        "UPDATE a SET n = b.n FROM b WHERE a.k > b.k",
        "UPDATE a SET n = b.n FROM b WHERE a.k = b.k OR a.n = b.n",
        "UPDATE a SET n = b.n FROM b WHERE a.k = 1 AND b.k = 1",
        "UPDATE a SET n = 1 FROM b LEFT JOIN a AS t ON b.k = t.k WHERE t.n = 1",
        "UPDATE a SET n = b.n FROM b LEFT JOIN c ON b.k = c.k WHERE a.k = b.k",
    ):
        assert (await refused(connection, sql)).message == NO_EQUIJOIN
    assert (await refused(connection, "UPDATE a SET n = s.n FROM c AS s WHERE k = s.k")).message.startswith(
        "[stand-in]"
    )


async def test_trailing_blanks_do_not_count_in_comparisons(connection: asyncpg.Connection) -> None:  # D
    await connection.execute(
        "CREATE TEMP TABLE v (s varchar(9)); INSERT INTO v VALUES ('a'), ('a  '), (' a'), ('b '), (NULL)"
    )
    await connection.execute("CREATE TEMP TABLE w AS SELECT * FROM v")
    for condition, expected in {
        "s = 'a'": 2, "s = 'a    '": 2, "s <> 'a '": 2, "s IN ('a ', 'b', 'c')": 3, "s NOT IN ('a ')": 2,
        "s > 'a'": 1, "s <= 'a '": 3, "s LIKE 'a'": 1, "LEN(s) = 3": 1, "s BETWEEN 'a ' AND 'a'": 2,
        "s IN (SELECT s || ' ' FROM w)": 4, "s = CAST('a' AS char(5))": 2,
    }.items():  # fmt: skip
        assert await connection.fetchval(f"SELECT count(*) FROM v WHERE {condition}") == expected, condition
    assert await connection.fetchval("SELECT count(*) FROM v WHERE s = $1", "a ") == 2
    assert await connection.fetchval("SELECT count(*) FROM v JOIN w ON v.s = w.s") == 6
    assert await connection.fetchval("SELECT count(*) FROM v LEFT JOIN w ON v.s = w.s AND w.s = 'b'") == 5
    assert await connection.fetchval("SELECT count(DISTINCT s) FROM v") == 3
    assert len(await connection.fetch("SELECT DISTINCT s FROM v")) == 4
    assert [found[0] for found in await connection.fetch("SELECT count(*) FROM v GROUP BY s ORDER BY 1")] == [
        1,
        1,
        1,
        2,
    ]
    assert await connection.fetchval("SELECT DECODE(s, 'a', 1, 0) FROM v WHERE LEN(s) = 3") == 1
    assert len(await connection.fetch("SELECT s FROM v UNION SELECT s || '  ' FROM w")) == 4
