"""Users, groups, roles and grants, seen by logging in as those users."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from tests.standin.lake import Lake, Stack, count, refused

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

PASSWORD = "Sesame-Street-1"


def dsn_of(stack: Stack, user: str, password: str = PASSWORD) -> str:
    place = urlsplit(stack.dsn)
    return f"postgresql://{user}:{password}@{place.hostname}:{place.port}{place.path}"


@pytest_asyncio.fixture(loop_scope="session")
async def analyst(connection: asyncpg.Connection, stack: Stack, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Logged in as a user of the test's own, whose name is the table's with an _u."""
    await connection.execute(f"CREATE USER {table}_u PASSWORD '{PASSWORD}'")
    connected = await asyncpg.connect(dsn_of(stack, f"{table}_u"), statement_cache_size=0)
    yield connected
    await connected.close()


async def test_a_user_needs_the_right_password(analyst: asyncpg.Connection, stack: Stack, table: str) -> None:
    assert await analyst.fetchval("SELECT current_user") == f"{table}_u"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn_of(stack, f"{table}_u", "wrong"))


async def test_a_schema_and_its_tables_are_closed_until_granted_to_a_group(
    connection: asyncpg.Connection, analyst: asyncpg.Connection, table: str
) -> None:
    schema, group = f"{table}_s", f"{table}_g"
    await connection.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (a int)")
    await connection.execute(f"CREATE GROUP {group} WITH USER {table}_u")
    assert (await refused(analyst, f"SELECT * FROM {schema}.t")).sqlstate == "42501"
    await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO GROUP {group}")
    assert (await refused(analyst, f"SELECT * FROM {schema}.t")).message == "permission denied for relation t"
    await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO GROUP {group}")
    assert await count(analyst, f"{schema}.t") == 0
    assert (await refused(analyst, f"INSERT INTO {schema}.t VALUES (1)")).sqlstate == "42501"
    await connection.execute(f"ALTER GROUP {group} DROP USER {table}_u")
    assert (await refused(analyst, f"SELECT * FROM {schema}.t")).sqlstate == "42501"


async def test_a_role_is_granted_to_a_user(
    connection: asyncpg.Connection, analyst: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int); CREATE ROLE {table}_r")
    await connection.execute(f"GRANT SELECT, INSERT ON TABLE {table} TO ROLE {table}_r")
    assert (await refused(analyst, f"SELECT * FROM {table}")).sqlstate == "42501"
    await connection.execute(f"GRANT ROLE {table}_r TO {table}_u")
    await analyst.execute(f"INSERT INTO {table} VALUES (1)")
    assert await count(analyst, table) == 1
    await connection.execute(f"REVOKE ROLE {table}_r FROM {table}_u")
    assert (await refused(analyst, f"SELECT * FROM {table}")).sqlstate == "42501"


async def test_copy_needs_insert_and_no_more(
    connection: asyncpg.Connection, analyst: asyncpg.Connection, lake: Lake, table: str
) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (a bigint, s varchar(3) NOT NULL, doc super)")
    file = await lake.file({"a": pa.array([1]), "s": pa.array(["x"]), "doc": pa.array(["{}"])})
    copy = await lake.copy(table, file, options="SERIALIZETOJSON")
    found = await refused(analyst, copy)
    assert (found.sqlstate, found.message) == ("42501", f"permission denied for relation {table}")
    await connection.execute(f"GRANT INSERT ON {table} TO {table}_u")
    await analyst.execute(copy)
    assert await count(connection, table) == 1
    assert (await refused(analyst, f"SELECT a FROM {table}")).sqlstate == "42501"


async def test_default_privileges_cover_what_that_user_makes_later(
    connection: asyncpg.Connection, analyst: asyncpg.Connection, stack: Stack, table: str
) -> None:
    await connection.execute(f"CREATE USER {table}_w PASSWORD '{PASSWORD}'; CREATE GROUP {table}_g WITH USER {table}_u")
    await connection.execute(f"CREATE SCHEMA {table}_s; GRANT USAGE, CREATE ON SCHEMA {table}_s TO {table}_w")
    await connection.execute(f"GRANT USAGE ON SCHEMA {table}_s TO GROUP {table}_g")
    writer = await asyncpg.connect(dsn_of(stack, f"{table}_w"))
    await writer.execute(f"CREATE TABLE {table}_s.before (a int)")
    await connection.execute(
        f"ALTER DEFAULT PRIVILEGES FOR USER {table}_w IN SCHEMA {table}_s GRANT SELECT ON TABLES TO GROUP {table}_g"
    )
    await writer.execute(f"CREATE TABLE {table}_s.after (a int)")
    await writer.close()
    assert (await refused(analyst, f"SELECT * FROM {table}_s.before")).sqlstate == "42501"
    assert await count(analyst, f"{table}_s.after") == 0


async def test_loads_are_shown_to_their_user_and_to_the_owner(
    connection: asyncpg.Connection, analyst: asyncpg.Connection, table: str
) -> None:
    await analyst.execute(f"CREATE TABLE {table} (a bigint)")
    copy = f"COPY {table} FROM 's3://lake/nowhere' IAM_ROLE 'r' FORMAT PARQUET MANIFEST"
    await refused(connection, copy)
    await refused(analyst, copy)
    sql = f"SELECT count(*) FROM sys_load_history WHERE table_name = '{table}'"
    assert await analyst.fetchval(sql) == 1
    assert await connection.fetchval(sql) == 2
    assert await analyst.fetchval("SELECT count(DISTINCT user_id) FROM sys_load_history") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE USER u", "CREATE USER u PASSWORD DISABLE", "CREATE USER u PASSWORD 'x' SUPERUSER",
        "CREATE USER standin PASSWORD 'x'",
        "CREATE ROLE r LOGIN", "GRANT pg_read_server_files TO acequia", "GRANT standin TO acequia",
        "GRANT SELECT ON t TO u WITH ADMIN OPTION", "ALTER USER u CREATEDB",
        "SET SESSION AUTHORIZATION u", "CREATE SCHEMA s QUOTA 2 GB",
        "CREATE SCHEMA s CREATE TABLE t AS SELECT 1", "ALTER USER acequia SET timezone TO 'UTC'",
        "ALTER ROLE acequia SET default_transaction_isolation TO 'read committed'",
    ],
)  # fmt: skip
async def test_what_is_not_supported_is_refused(connection: asyncpg.Connection, sql: str) -> None:
    assert (await refused(connection, sql)).sqlstate in {"0A000", "42601"}
