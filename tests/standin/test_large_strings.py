"""Strings above 65,535 bytes: refused, unless the database was opened to large strings."""

import json
from collections.abc import AsyncIterator

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from service.local.ports import free_port
from service.local.redshift.server import redshift_standin
from tests.standin.lake import Lake, Stack, count, refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

LIMIT = 65_535
LARGE_LIMIT = 16_000_000
TOO_LONG = "String value exceeds the max size of {} bytes"


@pytest_asyncio.fixture(loop_scope="session")
async def large(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A session of a second stand-in, which takes large strings."""
    async with redshift_standin(free_port(0), stack.warehouse, stack.s3_endpoint, large_strings=True) as dsn:
        connected = await asyncpg.connect(dsn, statement_cache_size=0)
        yield connected
        await connected.close()


async def test_the_database_tells_whether_it_takes_them(
    connection: asyncpg.Connection, large: asyncpg.Connection
) -> None:
    for asked, expected in ((connection, False), (large, True)):
        assert await asked.fetchval("SELECT is_large_string_enabled()") is expected
        await asked.execute("RESET ALL")
        assert await asked.fetchval("SELECT is_large_string_enabled()") is expected


@pytest.mark.parametrize("shape", ["text", "nested"])
async def test_copy_refuses_a_string_above_the_limit(
    connection: asyncpg.Connection, large: asyncpg.Connection, lake: Lake, table: str, shape: str
) -> None:  # R; the text of the larger limit U
    await connection.execute(f"CREATE TABLE {table} (doc super)")
    for loading, limit in ((connection, LIMIT), (large, LARGE_LIMIT)):
        values = ["x" * limit, "x" * (limit + 1)]
        fits, above = [
            await lake.file({"doc": pa.array([{"a": [value]}] if shape == "nested" else [value])}) for value in values
        ]
        await loading.execute(await lake.copy(table, fits, options="SERIALIZETOJSON"))
        error = await refused(loading, await lake.copy(table, fits, above, options="SERIALIZETOJSON"))
        assert error.message == TOO_LONG.format(limit)
        assert "code:      1224" in error.detail
    assert await count(connection, table) == 2


async def test_a_large_document_goes_from_a_stage_into_a_table(
    large: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await large.execute(f"CREATE TEMP TABLE stage (id bigint, doc super); CREATE TABLE {table} (id bigint, doc super)")
    documents = [json.dumps({"id": at, "body": {"text": "ñ" * 500_000}}, ensure_ascii=False) for at in range(40)]
    file = await lake.file({"id": pa.array(range(40)), "doc": pa.array(documents)})
    await large.execute(await lake.copy("stage", file, options="SERIALIZETOJSON"))
    assert await row(large, "SELECT MIN(LEN(doc::varchar(max))), COUNT(*) FROM stage") == (len(documents[0]), 40)

    await large.execute(f"INSERT INTO {table} SELECT id, JSON_PARSE(doc::varchar(max)) FROM stage")

    assert await row(
        large,
        "SELECT MAX(OCTET_LENGTH(CAST(doc.body.text AS VARCHAR(MAX)))), SUM(doc.id::int), "
        f"MAX(LEN(JSON_SERIALIZE(doc))) FROM {table}",
    ) == (1_000_000, 780, len(documents[-1]) - 4)


async def test_a_small_database_parses_no_large_text(connection: asyncpg.Connection) -> None:
    sql = "SELECT JSON_TYPEOF(JSON_PARSE('\"' || $1::varchar(max) || '\"'))"
    assert await connection.fetchval(sql, "x" * (LIMIT - 2)) == "string"
    found = await refused(connection, sql, "x" * (LIMIT - 1))
    assert found.message == f"[stand-in] {TOO_LONG.format(LIMIT)}"


async def test_a_column_stays_as_short_as_ever(large: asyncpg.Connection, table: str) -> None:
    await large.execute(f"CREATE TABLE {table} (a varchar(max), doc super)")
    for sql in (f"INSERT INTO {table} (a) VALUES ($1::varchar(max))", f"UPDATE {table} SET a = $1::varchar(max)"):
        await large.execute(f"INSERT INTO {table} (a) VALUES ('x')")
        assert (
            await refused(large, sql, "x" * (LIMIT + 1))
        ).message == "value too long for type character varying(65535)"
    assert await large.fetchval("SELECT LEN($1::varchar(max))", "x" * (LIMIT + 1)) == LIMIT + 1
    assert await large.fetchval("SELECT LEN($1::varchar(65535))", "x" * (LIMIT + 1)) == LIMIT
    assert (await refused(large, "SELECT $1::varchar(65536)", "x")).sqlstate == "22023"
