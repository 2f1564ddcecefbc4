"""UNLOAD: what it writes where, and what it refuses."""

import io
import json
from datetime import date
from decimal import Decimal

import asyncpg
import pyarrow.parquet as pq
import pytest

from tests.standin.lake import BUCKET, Lake, refused

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

ROLE = "IAM_ROLE 'arn:aws:iam::0:role/x' FORMAT AS PARQUET"


@pytest.fixture
def prefix(table: str) -> str:
    return f"analytics/{table}/"


async def filled(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(
        f"CREATE TABLE {table} (day date, id bigint, amount decimal(9, 2), name varchar(20), rest super, ok bool)"
    )
    await connection.execute(
        f"INSERT INTO {table} VALUES ('2026-11-22', 1, 1.50, 'it''s', JSON_PARSE('{{\"a\": [1, 2]}}'), true), "
        "('2026-11-23', 2, NULL, NULL, NULL, NULL), ('2026-11-23', 3, -2, 'z', NULL, false)"
    )


async def test_partitions_become_folders_and_leave_the_files(
    connection: asyncpg.Connection, lake: Lake, table: str, prefix: str
) -> None:
    await filled(connection, table)
    query = f"SELECT * FROM {table} WHERE name <> \\'x\\' OR name IS NULL ORDER BY id"
    sql = f"UNLOAD ('{query}') TO 's3://{BUCKET}/{prefix}'"

    assert await connection.execute(f"{sql} {ROLE} PARTITION BY (day) MANIFEST") == "UNLOAD"

    assert await connection.fetchval("SELECT pg_last_unload_count()") == 3
    stored = await lake.stored(prefix)
    assert sorted(stored) == [
        f"{prefix}day=2026-11-22/0000_part_00.parquet",
        f"{prefix}day=2026-11-23/0000_part_00.parquet",
        f"{prefix}manifest",
    ]
    first = pq.read_table(io.BytesIO(stored[f"{prefix}day=2026-11-22/0000_part_00.parquet"]), partitioning=None)
    assert first.to_pylist() == [
        {"id": 1, "amount": Decimal("1.50"), "name": "it's", "rest": '{"a":[1,2]}', "ok": True}
    ]
    second = pq.read_table(io.BytesIO(stored[f"{prefix}day=2026-11-23/0000_part_00.parquet"]), partitioning=None)
    assert second.column("amount").to_pylist() == [None, Decimal("-2.00")]
    assert json.loads(stored[f"{prefix}manifest"])["entries"] == [
        {"url": f"s3://{BUCKET}/{key}", "meta": {"content_length": len(stored[key])}} for key in sorted(stored)[:2]
    ]


async def test_include_keeps_the_partition_column(
    connection: asyncpg.Connection, lake: Lake, table: str, prefix: str
) -> None:
    await filled(connection, table)
    sql = f"UNLOAD ('SELECT day, id FROM {table}') TO 's3://{BUCKET}/{prefix}' {ROLE} PARTITION BY (day) INCLUDE"
    await connection.execute(sql)
    stored = await lake.stored(prefix)
    rows = pq.read_table(io.BytesIO(stored[f"{prefix}day=2026-11-22/0000_part_00.parquet"]), partitioning=None)
    assert rows.to_pylist() == [{"day": date(2026, 11, 22), "id": 1}]


async def test_a_prefix_that_is_not_empty_is_refused_overwritten_or_cleaned(
    connection: asyncpg.Connection, lake: Lake, table: str, prefix: str
) -> None:
    await filled(connection, table)
    by_day = f"UNLOAD ('SELECT day, id FROM {table}') TO 's3://{BUCKET}/{prefix}' {ROLE} PARTITION BY (day)"
    plain = f"UNLOAD ('SELECT id FROM {table}') TO 's3://{BUCKET}/{prefix}' {ROLE}"
    await connection.execute(by_day)

    error = await refused(connection, plain)
    assert error.message.startswith(
        "Specified unload destination on S3 is not empty. Consider using a different bucket"
    )
    assert (error.sqlstate, "code:      8001" in error.detail) == ("XX000", True)

    await connection.execute(f"{plain} ALLOWOVERWRITE")
    assert len(await lake.stored(prefix)) == 3
    await connection.execute(f"{plain} CLEANPATH")
    assert list(await lake.stored(prefix)) == [f"{prefix}0000_part_00.parquet"]


async def test_an_empty_result_writes_nothing(
    connection: asyncpg.Connection, lake: Lake, table: str, prefix: str
) -> None:
    await filled(connection, table)
    sql = f"UNLOAD ('SELECT id FROM {table} WHERE id > 9') TO 's3://{BUCKET}/{prefix}' {ROLE} MANIFEST"
    await connection.execute(sql)
    assert await lake.stored(prefix) == {}


@pytest.mark.parametrize(
    ("query", "options", "sqlstate", "message"),
    [
        ("SELECT 1 LIMIT 1", ROLE, "42601", "Limit clause is not supported"),
        ("DELETE FROM t", ROLE, "0A000", "[stand-in] UNLOAD takes one SELECT."),
        ("SELECT 1; SELECT 2", ROLE, "0A000", "[stand-in] UNLOAD takes one SELECT."),
        ("SELECT pg_sleep(1)", ROLE, "42883", "function pg_sleep does not exist"),
        ("SELECT 1", "IAM_ROLE 'r' FORMAT CSV", "0A000", "[stand-in]"),
        ("SELECT 1", f"{ROLE} MAXFILESIZE 5 MB", "0A000", "[stand-in]"),
        ("SELECT 1", "FORMAT PARQUET", "0A000", "[stand-in]"),
        ("SELECT 1.5 * 2 AS n", ROLE, "0A000", '[stand-in] The column "n" needs a cast to DECIMAL(p, s)'),
    ],
)
async def test_refusals(
    connection: asyncpg.Connection, prefix: str, query: str, options: str, sqlstate: str, message: str
) -> None:
    found = await refused(connection, f"UNLOAD ('{query}') TO 's3://{BUCKET}/{prefix}' {options}")
    assert (found.sqlstate, found.message[: len(message)]) == (sqlstate, message)
