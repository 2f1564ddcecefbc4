"""Users, groups and roles as three kinds of names, ASSUMEROLE, external schemas, and what grants are refused."""

from collections.abc import AsyncIterator

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from tests.standin.lake import Lake, Stack, count, refused, row
from tests.standin.test_rights import PASSWORD, dsn_of

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

LOAD_ROLE = "arn:aws:iam::0:role/load"
"""The one that `Lake.copy` names."""
EVERYBODY = "ASSUMEROLE ON ALL {} PUBLIC FOR ALL"


@pytest_asyncio.fixture(loop_scope="session")
async def user(connection: asyncpg.Connection, stack: Stack, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Logged in as the table's name with an _u; there are a role _r, a group _g and the table besides."""
    await connection.execute(f"CREATE USER {table}_u PASSWORD '{PASSWORD}'")
    await connection.execute(f"CREATE ROLE {table}_r; CREATE GROUP {table}_g; CREATE TABLE {table} (a bigint)")
    connected = await asyncpg.connect(dsn_of(stack, f"{table}_u"), statement_cache_size=0)
    yield connected
    await connected.close()


@pytest_asyncio.fixture(loop_scope="session")
async def closed(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Nobody may use an IAM role who was not given it."""
    await connection.execute(f"REVOKE {EVERYBODY.format('FROM')}")
    yield
    await connection.execute(f"GRANT {EVERYBODY.format('TO')}")


@pytest.mark.parametrize(
    ("sql", "sqlstate", "message"),
    [
        ("GRANT SELECT ON {t} TO {t}_r", "42704", 'user "{t}_r" does not exist'),
        ("GRANT SELECT ON {t} TO {t}_g", "42704", 'user "{t}_g" does not exist'),
        ("GRANT SELECT ON {t} TO ROLE {t}_u", "42704", 'role "{t}_u" does not exist'),
        ("GRANT SELECT ON {t} TO ROLE {t}_g", "42704", 'role "{t}_g" does not exist'),
        ("GRANT SELECT ON {t} TO GROUP {t}_r", "42704", 'group "{t}_r" does not exist'),
        ("REVOKE SELECT ON {t} FROM {t}_r", "42704", 'user "{t}_r" does not exist'),
        ("GRANT ROLE {t}_g TO {t}_u", "42704", 'role "{t}_g" does not exist'),
        ("GRANT {t}_r TO {t}_u", "0A000", None),
        ("GRANT ROLE {t}_r TO GROUP {t}_g", "42601", 'syntax error at or near "GROUP"'),
        ("GRANT ROLE {t}_r TO PUBLIC", "42601", 'syntax error at or near "PUBLIC"'),
        ("GRANT SELECT ON {t} TO ROLE {t}_r WITH GRANT OPTION", "42601", 'syntax error at or near "WITH"'),
        ("GRANT SELECT ON {t} TO CURRENT_USER", "42601", 'syntax error at or near "CURRENT_USER"'),
        ("GRANT SELECT ON {t} TO ROLE {t}_r GRANTED BY acequia", "0A000", None),
        ("GRANT TRIGGER ON {t} TO {t}_u", "42601", 'syntax error at or near "TRIGGER"'),
        ("GRANT MAINTAIN ON {t} TO {t}_u", "42601", 'syntax error at or near "MAINTAIN"'),
        ("GRANT CONNECT ON DATABASE acequia TO {t}_u", "42601", 'syntax error at or near "CONNECT"'),
        ("GRANT TEMP ON {t} TO {t}_u", "0LP01", "invalid privilege type TEMP for relation"),
        ("GRANT SELECT ON SCHEMA public TO {t}_u", "0LP01", "invalid privilege type SELECT for SCHEMA"),
        ("GRANT ALTER ON {t} TO {t}_u", "0A000", None),
        ("GRANT SELECT FOR TABLES IN SCHEMA public TO ROLE {t}_r", "0A000", None),
        ("GRANT CREATE ROLE TO ROLE {t}_r", "0A000", None),
        ("CREATE ROLE IF NOT EXISTS {t}_s", "42601", 'syntax error at or near "NOT"'),
        ('CREATE ROLE "sys:{t}"', "0A000", None),
        ("CREATE ROLE {t}_u", "42710", 'role "{t}_u" already exists'),
        ("DROP ROLE {t}_u", "42704", 'role "{t}_u" does not exist'),
        ("DROP ROLE IF EXISTS {t}_r", "42601", 'syntax error at or near "EXISTS"'),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE {t}_r GRANT SELECT ON TABLES TO {t}_u", "42601", None),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {t}_r", "42704", 'user "{t}_r" does not exist'),
        ("ALTER DEFAULT PRIVILEGES FOR USER {t}_r GRANT SELECT ON TABLES TO {t}_u", "42704", None),
        ("ALTER DEFAULT PRIVILEGES GRANT ALTER ON TABLES TO {t}_u", "0A000", None),
        ("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {t}_u", "42601", 'syntax error at or near "USAGE"'),
        ("GRANT ASSUMEROLE ON load TO {t}_u FOR COPY", "42601", 'syntax error at or near "load"'),
        ("GRANT ASSUMEROLE ON 'r' TO {t}_u", "42601", 'syntax error at or near "end of input"'),
        ("GRANT ASSUMEROLE ON 'r' TO {t}_r FOR COPY", "42704", 'user "{t}_r" does not exist'),
        ("GRANT ASSUMEROLE ON 'r' TO {t}_u FOR SELECT", "42601", 'syntax error at or near "SELECT"'),
    ],
)  # fmt: skip
async def test_what_is_refused(
    connection: asyncpg.Connection, user: asyncpg.Connection, table: str, sql: str, sqlstate: str, message: str | None
) -> None:
    found = await refused(connection, sql.format(t=table))
    assert found.sqlstate == sqlstate, found.message
    assert message is None or found.message == message.format(t=table)


@pytest.mark.parametrize(
    "sql",
    [
        "GRANT SELECT, INSERT ON TABLE {t} TO ROLE {t}_r, GROUP {t}_g, {t}_u, PUBLIC", "GRANT ALL ON {t} TO ROLE {t}_r",
        "GRANT SELECT (a), UPDATE (a) ON {t} TO ROLE {t}_r", "GRANT ALL PRIVILEGES ON SCHEMA public TO GROUP {t}_g",
        "GRANT SELECT ON {t} TO {t}_u WITH GRANT OPTION", "REVOKE GRANT OPTION FOR SELECT ON {t} FROM {t}_u CASCADE",
        "GRANT CREATE, TEMPORARY ON DATABASE acequia TO ROLE {t}_r", "REVOKE TEMP ON DATABASE acequia FROM ROLE {t}_r",
        'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{t}_U"', "REVOKE ROLE {t}_r FROM {t}_u",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ROLE {t}_r",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM ROLE {t}_r",
        "GRANT ASSUMEROLE ON DEFAULT TO GROUP {t}_g FOR COPY, UNLOAD, EXTERNAL FUNCTION, CREATE MODEL",
        "ALTER ROLE {t}_r RENAME TO {t}_s", "DROP ROLE {t}_r RESTRICT",
    ],
)  # fmt: skip
async def test_what_is_taken(connection: asyncpg.Connection, user: asyncpg.Connection, table: str, sql: str) -> None:
    written = sql.format(t=table)
    tags = ("CREATE ROLE", "ALTER ROLE", "DROP ROLE", "ALTER DEFAULT PRIVILEGES", "GRANT", "REVOKE")
    await connection.execute("BEGIN")
    done = await connection.execute(written)
    assert done.startswith(next(tag for tag in tags if written.startswith(tag)))
    await connection.execute("ROLLBACK")


async def test_grants_go_with_their_transaction(
    connection: asyncpg.Connection, user: asyncpg.Connection, table: str, closed: None
) -> None:
    await connection.execute("BEGIN")
    await connection.execute(f"GRANT SELECT ON {table} TO {table}_u")
    await connection.execute(f"GRANT ASSUMEROLE ON ALL TO {table}_u FOR ALL")
    await connection.execute("ROLLBACK")
    assert (await refused(user, f"SELECT * FROM {table}")).sqlstate == "42501"
    await connection.execute("BEGIN")
    assert (await refused(connection, f"GRANT SELECT ON {table} TO nobody_at_all")).sqlstate == "42704"
    assert (await refused(connection, "SELECT 1")).sqlstate == "25P02"
    await connection.execute("ROLLBACK")


async def test_roles_in_roles_and_what_is_seen_of_them(
    connection: asyncpg.Connection, user: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"CREATE ROLE {table}_q; GRANT SELECT ON {table} TO ROLE {table}_q")
    await connection.execute(f"GRANT ROLE {table}_q TO ROLE {table}_r; GRANT ROLE {table}_r TO {table}_u")
    assert await count(user, table) == 0
    seen = f"SELECT role_name, role_owner FROM svv_roles WHERE role_name LIKE '{table}%' ORDER BY 1"
    assert [tuple(each) for each in await user.fetch(seen)] == [(f"{table}_q", "acequia"), (f"{table}_r", "acequia")]
    granted = f"SELECT user_name, role_name FROM svv_user_grants WHERE role_name LIKE '{table}%'"
    assert await row(user, granted) == await row(connection, granted) == (f"{table}_u", f"{table}_r")
    nested = f"SELECT role_name, granted_role_name FROM svv_role_grants WHERE role_name LIKE '{table}%'"
    assert await row(connection, nested) == (f"{table}_r", f"{table}_q")
    await connection.execute(f"CREATE ROLE {table}_x")
    assert f"{table}_x" not in {each[0] for each in await user.fetch("SELECT role_name FROM svv_roles")}
    assert await user.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user") is False
    assert await connection.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user") is True


async def test_default_privileges_in_a_schema_are_for_who_makes_something_there(
    connection: asyncpg.Connection, user: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"CREATE SCHEMA {table}_s")
    change = f"ALTER DEFAULT PRIVILEGES FOR USER {table}_u IN SCHEMA {table}_s GRANT SELECT ON TABLES TO ROLE {table}_r"
    assert (await refused(connection, change)).message == f"permission denied for schema {table}_s"
    await connection.execute(f"GRANT CREATE ON SCHEMA {table}_s TO ROLE {table}_r; GRANT ROLE {table}_r TO {table}_u")
    await connection.execute(change)
    others = change.replace(f"USER {table}_u", "USER acequia")
    assert (await refused(user, others)).sqlstate == "42501"


async def test_assumerole_is_for_an_iam_role_and_a_command(
    connection: asyncpg.Connection, user: asyncpg.Connection, lake: Lake, table: str, closed: None
) -> None:
    await connection.execute(f"GRANT SELECT, INSERT ON {table} TO {table}_u")
    copy = await lake.copy(table, await lake.file({"a": pa.array([1])}))
    unload = f"UNLOAD ('SELECT a FROM {table}') TO 's3://lake/{table}/' IAM_ROLE '{LOAD_ROLE}' FORMAT PARQUET"
    found = await refused(user, copy)
    told = f'User {table}_u does not have ASSUMEROLE permission on IAM role "{LOAD_ROLE}" for COPY'
    assert (found.sqlstate, found.message) == ("42501", told)
    await connection.execute(f"GRANT ASSUMEROLE ON '{LOAD_ROLE}x' TO {table}_u FOR COPY")
    assert (await refused(user, copy)).sqlstate == "42501"
    await connection.execute(f"GRANT ROLE {table}_r TO {table}_u")
    await connection.execute(f"GRANT ASSUMEROLE ON '{LOAD_ROLE}' TO ROLE {table}_r FOR COPY")
    await user.execute(copy)
    assert await count(connection, table) == 1
    assert (await refused(user, unload)).message == told.replace("COPY", "UNLOAD")
    await connection.execute(f"REVOKE ASSUMEROLE ON '{LOAD_ROLE}' FROM ROLE {table}_r FOR ALL")
    assert (await refused(user, copy)).sqlstate == "42501"
    await connection.execute(copy)


async def test_assumerole_is_everybodys_until_it_is_taken_and_the_owners_to_give(
    connection: asyncpg.Connection, user: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"GRANT INSERT ON {table} TO {table}_u")
    await user.execute(await lake.copy(table, await lake.file({"a": pa.array([1])})))
    for change in (f"GRANT ASSUMEROLE ON ALL TO {table}_u FOR ALL", f"REVOKE {EVERYBODY.format('FROM')}"):
        assert (await refused(user, change)).sqlstate == "42501"
    one = f"REVOKE ASSUMEROLE ON '{LOAD_ROLE}' FROM PUBLIC FOR COPY"
    assert (await refused(connection, one)).sqlstate == "0A000"


async def test_an_external_table_is_read_by_who_may_use_its_schema_and_written_by_nobody(
    connection: asyncpg.Connection, user: asyncpg.Connection, table: str
) -> None:
    make = f"CREATE EXTERNAL SCHEMA IF NOT EXISTS {table}_e FROM DATA CATALOG DATABASE 'd' IAM_ROLE '{LOAD_ROLE}'"
    await connection.execute(f"{make} CREATE EXTERNAL DATABASE IF NOT EXISTS")
    await connection.execute(make)
    await connection.execute(
        f"CREATE EXTERNAL TABLE {table}_e.t (a varchar(64), b bigint, c timestamp, d decimal(18, 2)) "
        "STORED AS PARQUET LOCATION 's3://lake/errors/'"
    )
    assert (await refused(user, f"SELECT * FROM {table}_e.t")).sqlstate == "42501"
    await connection.execute(f"GRANT USAGE ON SCHEMA {table}_e TO ROLE {table}_r; GRANT ROLE {table}_r TO {table}_u")
    assert await count(user, f"{table}_e.t") == 0
    for who in (user, connection):
        assert (await refused(who, f"INSERT INTO {table}_e.t (b) VALUES (1)")).sqlstate == "42501"
        assert (await refused(who, f"CREATE TABLE {table}_e.mine (a int)")).sqlstate == "42501"
    assert (await refused(connection, f"GRANT CREATE ON SCHEMA {table}_e TO {table}_u")).sqlstate == "0A000"
    await connection.execute("BEGIN")
    assert (await refused(connection, f"GRANT USAGE ON SCHEMA {table}_e TO {table}_u")).sqlstate == "25001"
    await connection.execute("ROLLBACK")
    listed = f"SELECT eskind, databasename FROM svv_external_schemas WHERE schemaname = '{table}_e'"
    assert await row(user, listed) == (1, "d")


async def test_external_objects_are_made_alone_and_by_who_may(
    connection: asyncpg.Connection, user: asyncpg.Connection, table: str
) -> None:
    schema = f"CREATE EXTERNAL SCHEMA {table}_e FROM DATA CATALOG DATABASE 'd' IAM_ROLE DEFAULT"
    assert (await refused(user, schema)).sqlstate == "42501"
    await connection.execute(schema)
    assert (await refused(connection, schema)).sqlstate == "42P06"
    outside = "CREATE EXTERNAL TABLE {}.t (a int) STORED AS PARQUET LOCATION 's3://lake/e/'"
    assert (await refused(user, outside.format(f"{table}_e"))).sqlstate == "42501"
    assert (await refused(connection, outside.format("public"))).sqlstate == "3F000"
    await connection.execute("BEGIN")
    assert (await refused(connection, outside.format(f"{table}_e"))).sqlstate == "25001"
    await connection.execute("ROLLBACK")
