"""Clients of the stand-in: asyncpg as it takes Redshift, its pool, psql, logins, cancelling."""

import asyncio
import shutil

import asyncpg
import pyarrow as pa
import pytest

from tests.standin.lake import Lake, Stack, count, refused

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


async def test_asyncpg_takes_its_redshift_branch(connection: asyncpg.Connection) -> None:
    assert connection.get_server_version()[:3] == (8, 0, 2)
    assert connection.get_settings().padb_revision == "1.0.436211"
    assert connection.get_reset_query() == "RESET ALL;"


async def test_a_pool_resets_its_connections(stack: Stack) -> None:
    async with asyncpg.create_pool(stack.dsn, min_size=1, max_size=1) as pool:
        async with pool.acquire() as first:
            await first.execute("SET application_name TO 'loader'")
        async with pool.acquire() as second:
            assert await second.fetchval("SHOW application_name") == ""
            assert await second.fetchval("SELECT $1::bigint + $2", 1, 2) == 3
            assert await second.fetchval("SELECT nvl(NULL, 'x') || json_extract_path_text('{\"a\":1}', 'a')") == "x1"


async def test_codecs_for_super_and_numeric_can_be_set(connection: asyncpg.Connection) -> None:
    for name in ("super", "numeric"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str, format="text")
    found = await connection.fetchrow(
        "SELECT json_parse('[1]') AS s, 1.50::decimal(9, 2) AS n, getdate() <= sysdate AS o"
    )
    assert found is not None
    assert (found["s"], found["n"]) == ("[1]", "1.50")


async def test_a_backslash_in_a_literal_is_an_escape(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval(r"SELECT 'a\\b\'c'") == "a\\b'c"


async def test_a_large_answer_arrives_whole(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT n, repeat('x', 1000) AS s FROM generate_series(1, 20000) AS n")
    assert [row["n"] for row in rows] == list(range(1, 20001))
    assert len(await connection.fetchval("SELECT repeat('x', 20000000)")) == 20_000_000


async def test_a_large_statement_arrives_whole(connection: asyncpg.Connection) -> None:
    text = "copy; " * 200_000
    assert await connection.fetchval("SELECT length($1)", text) == len(text)
    await connection.execute(f"CREATE TEMP TABLE large AS SELECT '{text}' AS s")
    assert await connection.fetchval("SELECT length(s) FROM large") == len(text)


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("COPY t FROM 's3://b/k' IAM_ROLE default PARQUET MANIFEST", "0A000"),
        ("COPY t FROM STDIN", "0A000"),
    ],
)
async def test_copy_by_the_extended_protocol_is_refused(
    connection: asyncpg.Connection, sql: str, sqlstate: str
) -> None:
    await connection.execute("BEGIN")
    found = await refused(connection, sql, 1)
    assert (found.sqlstate, found.message[:42]) == (sqlstate, "[stand-in] COPY is taken as a simple query")
    assert (await refused(connection, "SELECT 1")).sqlstate == "25P02"
    await connection.execute("ROLLBACK")
    assert await connection.fetchval("SELECT $1::int", 1) == 1


@pytest.mark.parametrize("sql", ["COPY t FROM STDIN", "COPY t TO STDOUT", "SELECT 1; COPY (SELECT 1) TO STDOUT"])
async def test_copy_from_and_to_the_client_is_refused(connection: asyncpg.Connection, sql: str) -> None:
    assert (await refused(connection, sql)).sqlstate == "42601"
    assert await connection.fetchval("SELECT 1") == 1


async def test_the_superuser_of_the_standin_may_not_log_in(stack: Stack) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(stack.dsn, user="standin")


async def test_the_owner_is_no_superuser(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval("SELECT current_user") == "acequia"
    assert (await refused(connection, "SET SESSION AUTHORIZATION standin")).sqlstate == "0A000"
    assert (await refused(connection, "SELECT pg_read_file('/etc/passwd')")).sqlstate == "42883"


async def test_a_waiting_copy_can_be_cancelled(
    connection: asyncpg.Connection, stack: Stack, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    copy = await lake.copy(table, await lake.file({"x": pa.array([1])}))
    other = await asyncpg.connect(stack.dsn)
    async with other.transaction():
        await other.execute(f"LOCK {table}")
        with pytest.raises(TimeoutError):
            await connection.execute(copy, timeout=0.1)
        assert await connection.fetchval("SELECT 1") == 1  # waits for the cancelled statement, not for the lock
    await other.close()
    assert await count(connection, table) == 0
    await connection.execute(copy)
    assert await count(connection, table) == 1


async def test_a_client_that_is_gone_leaves_nothing_of_its_transaction(
    connection: asyncpg.Connection, stack: Stack, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    other = await asyncpg.connect(stack.dsn)
    await other.execute("BEGIN")
    await other.execute(await lake.copy(table, await lake.file({"x": pa.array([1])})))
    other.terminate()
    await connection.execute(f"LOCK {table}; SELECT 1")  # waits until the other's lock is gone
    assert await count(connection, table) == 0


async def test_two_sessions_load_side_by_side(stack: Stack, lake: Lake, table: str) -> None:
    file = await lake.file({"x": pa.array(range(20_000))})

    async def load(name: str) -> int:
        async with asyncpg.create_pool(stack.dsn, min_size=1, max_size=1) as pool, pool.acquire() as connection:
            await connection.execute(f"CREATE TABLE {name} (a bigint)")
            await connection.execute(await lake.copy(name, file, file))
            return int(await connection.fetchval(f"SELECT count(*) FROM {name}"))

    assert await asyncio.gather(*(load(f"{table}_{n}") for n in range(4))) == [40_000] * 4


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
async def test_psql_works(stack: Stack, lake: Lake, table: str) -> None:
    copy = await lake.copy(table, await lake.file({"x": pa.array([1])}))
    commands = [f"CREATE TABLE {table} (a bigint)", copy, f"SELECT a + 41 FROM {table}", "\\d", f"\\d {table}"]
    process = await asyncio.create_subprocess_exec(
        "psql", "-X", stack.dsn, *(part for command in commands for part in ("-c", command)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    shown = output.decode()
    assert process.returncode == 0, shown
    assert "1 record(s) loaded successfully" in shown
    assert "42" in shown
    assert f" {table} " in shown.split("42", 1)[1]
    assert " a      | bigint |" in shown.split(f'Table "public.{table}"')[1]
    assert "Triggers" not in shown


async def test_a_startup_parameter_that_could_change_the_rules_is_refused(stack: Stack) -> None:
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await asyncpg.connect(stack.dsn, server_settings={"standard_conforming_strings": "on"})
