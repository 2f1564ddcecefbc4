"""Redshift's own functions and SUPER, as queries meet them."""

from datetime import datetime
from typing import Any

import asyncpg
import pytest

from tests.standin.lake import count, refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour)  # noqa: DTZ001 - a TIMESTAMP has no zone


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("DATEDIFF(year, '2025-12-31', '2026-01-01')", 1),
        ("DATEDIFF(year, '2026-01-01', '2026-12-31')", 0),
        ("DATEDIFF(qtr, '2025-12-31', '2026-04-01')", 2),
        ("DATEDIFF(month, '2026-03-01', '2025-12-31')", -3),
        ("DATEDIFF('day', '2026-11-22 23:59:59', '2026-11-23 00:00:00')", 1),
        ("DATEDIFF(hour, '2026-11-22 00:59:59', '2026-11-22 01:00:00')", 1),
        ("DATEDIFF(mins, '2026-11-22 00:00:01', '2026-11-22 00:00:59')", 0),
        ("DATEDIFF(s, '2026-11-22 00:00:00.9', '2026-11-22 00:00:01.1')", 1),
        ("DATEDIFF(ms, '1969-12-31 23:59:59.9999', '1970-01-01')", 1),
        ("DATEADD(month, 1, '2026-01-31'::timestamp)", at(2026, 2, 28)),
        ("DATEADD('quarter', -1, '2026-01-31'::date)", at(2025, 10, 31)),
        ("DATEADD(h, 25, '2026-01-31'::timestamp)", at(2026, 2, 1, 1)),
        ("DATE_PART(year, '2026-01-31'::timestamp)", 2026.0),
        ("NVL(NULL, NULL, 3)", 3),
        ("NVL2(NULL, 'a', 'b') || NVL2(1, 'a', 'b')", "ba"),
        ("DECODE(NULL, 1, 'one', NULL, 'none', 'else')", "none"),
        ("DECODE(2, 1, 'one', 'else') || NVL(DECODE(2, 1, 'one'), '-')", "else-"),
        ("NVL(DECODE(1, 1, NVL2(1, NULL, 2), 3), 4)", 4),
        ("CHARINDEX('b', 'abc') + LEN('ñb')", 4),
        ("TRUNC(GETDATE()) = TRUNC(SYSDATE)", True),
        ("'a\\\\b\\'c'", "a\\b'c"),
        ('JSON_PARSE(\'{"a": "x"}\').a::varchar', None),
    ],
)
async def test_functions(connection: asyncpg.Connection, expression: str, expected: Any) -> None:
    if expected is None:  # a path behind anything but a column is not known here
        await refused(connection, f"SELECT {expression}")
        return
    assert await connection.fetchval(f"SELECT {expression}") == expected


async def test_a_date_part_that_is_not_certain_is_refused(connection: asyncpg.Connection) -> None:
    assert (await refused(connection, "SELECT DATEDIFF(week, GETDATE(), GETDATE())")).message.startswith("[stand-in]")
    assert (await refused(connection, "SELECT DATEADD(century, 1, GETDATE())")).message.startswith("[stand-in]")


async def test_the_average_of_integers_is_an_integer(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (k int, d decimal(9, 2), f real)")
    assert await row(connection, f"SELECT AVG(k), AVG(f) FROM {table}") == (None, None)
    await connection.execute(f"INSERT INTO {table} VALUES (1, 1, 1), (2, 2, 2), (2, 2, NULL)")
    sql = f"SELECT AVG(k), AVG(d)::decimal(9, 2)::varchar, AVG(f), AVG(k::float) > 1.6 FROM {table}"
    assert await row(connection, sql) == (1, "1.67", 1.5, True)


async def test_qualify(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (k int, v int); INSERT INTO {table} VALUES (1, 1), (1, 2), (2, 3)")
    sql = f"SELECT k, v FROM {table} QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) = 1 ORDER BY k"
    assert [tuple(found) for found in await connection.fetch(sql)] == [(1, 2), (2, 3)]
    assert (await refused(connection, sql.replace("k, v FROM", "* FROM"))).sqlstate == "0A000"


async def test_dots_and_brackets_lead_into_a_super_column(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (id int, rest super)")
    document = '{"work": {"queue": "q1", "Upper": 1, "n": [10, {"deep": true}], "none": null}}'
    await connection.execute(f"INSERT INTO {table} SELECT 1, JSON_PARSE('{document}')")
    assert await row(
        connection,
        "SELECT rest.work.queue::varchar, t.rest.work.n[0]::int, rest.work.n[1].deep::bool, rest.work.upper::int, "
        f'rest."work"."QUEUE"::varchar, rest.work.none IS NULL, rest.nothing.at.all IS NULL, t.id FROM {table} AS t',
    ) == ("q1", 10, True, None, "q1", True, True, 1)
    assert await row(
        connection,
        f"SELECT public.{table}.rest.work.queue::varchar, JSON_TYPEOF({table}.rest.work) FROM public.{table}",
    ) == ("q1", "object")
    assert await row(
        connection, f"SELECT x.rest.work::varchar, x.rest.work.queue::int FROM (SELECT rest FROM {table}) AS x"
    ) == (None, None)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO {t} VALUES ('{{\"a\": 1}}')",
        "SELECT 1 FROM {t} WHERE rest.a = '1'",
        "SELECT 1 FROM {t} WHERE rest.a = 1",
        "SELECT 1 FROM {t} WHERE rest.a > rest.b",
        "SELECT '1'::super",
    ],
)
async def test_what_would_be_a_document_here_and_a_string_there_is_refused(
    connection: asyncpg.Connection, table: str, sql: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (rest super)")
    assert (await refused(connection, sql.format(t=table))).sqlstate in {"0A000", "42883"}
    await connection.execute(f"INSERT INTO {table} VALUES (NULL)")


async def test_navigation_in_a_prepared_statement_and_a_view(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (rest super)")
    await connection.execute(f"CREATE VIEW {table}_v AS SELECT rest.a.b::int AS b FROM {table}")
    await connection.execute(f'INSERT INTO {table} SELECT JSON_PARSE(\'{{"a": {{"b": 7}}}}\')')
    assert await connection.fetchval(f"SELECT b FROM {table}_v WHERE b > $1", 1) == 7


async def test_char_takes_single_bytes_only_and_decimals_have_a_default(
    connection: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (c char(3), d decimal, t text)")
    await connection.execute(f"INSERT INTO {table} (c, d) VALUES ('abc', 1.6)")
    assert await connection.fetchval(f"SELECT d::varchar FROM {table}") == "2"
    assert (await refused(connection, f"INSERT INTO {table} (c) VALUES ('ñ')")).message.startswith("[stand-in]")
    assert (await refused(connection, f"INSERT INTO {table} (c) VALUES ('abcd')")).sqlstate == "22001"
    lengths = await connection.fetch(
        "SELECT column_name, character_maximum_length AS n FROM information_schema.columns "
        f"WHERE table_name = '{table}'"
    )
    assert {found["column_name"]: found["n"] for found in lengths} == {"c": 3, "d": None, "t": 256}
    types = await connection.fetch(f"SELECT \"column\", type FROM pg_table_def WHERE tablename = '{table}'")
    assert dict(map(tuple, types))["t"] == "character varying(256)"


async def test_a_failed_statement_in_a_text_takes_the_others_with_it(
    connection: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int)")
    await refused(connection, f"INSERT INTO {table} VALUES (1); SELECT pg_sleep(0)")
    assert await count(connection, table) == 0
