"""Who holds a lock: SVV_TRANSACTIONS, and what becomes of those who wait too long."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from tests.standin.lake import Lake, Stack, refused
from tests.standin.test_rights import PASSWORD, dsn_of

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

HELD = (
    "SELECT t.pid, t.txn_owner, t.txn_start <= GETDATE() AS began, t.lock_mode, t.granted FROM svv_transactions AS t "
    "JOIN pg_class AS c ON c.oid = t.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'public' AND c.relname = '{}' ORDER BY t.granted DESC"
)


@pytest_asyncio.fixture(loop_scope="session")
async def holder(stack: Stack, table: str, connection: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """Another session, inside a transaction; the table is there."""
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    connected = await asyncpg.connect(stack.dsn, statement_cache_size=0)
    await connected.execute("BEGIN")
    yield connected
    async with asyncio.timeout(10):
        await connected.close()


async def held(connection: asyncpg.Connection, table: str) -> list[tuple[object, ...]]:
    return [tuple(found) for found in await connection.fetch(HELD.format(table))]


async def test_a_lock_shows_its_holder_and_who_waits(
    connection: asyncpg.Connection, holder: asyncpg.Connection, stack: Stack, table: str
) -> None:
    await holder.execute(f"LOCK TABLE {table}")
    owner = (holder.get_server_pid(), "acequia", True, "AccessExclusiveLock", True)
    assert await held(connection, table) == [owner]
    waiter = await asyncpg.connect(stack.dsn)
    waiting = asyncio.create_task(waiter.execute(f"INSERT INTO {table} VALUES (1)"))
    while len(found := await held(connection, table)) < 2:
        pass
    assert found == [owner, (waiter.get_server_pid(), "acequia", True, "ShareRowExclusiveLock", False)]
    await holder.execute("COMMIT")
    await waiting
    assert await held(connection, table) == []
    await waiter.close()


@pytest.mark.parametrize("how", ["INSERT", "COPY", "DELETE", "UPDATE"])
async def test_writers_hold_one_lock_and_wait_for_it(
    connection: asyncpg.Connection, holder: asyncpg.Connection, stack: Stack, lake: Lake, table: str, how: str
) -> None:
    sql = {
        "INSERT": f"INSERT INTO {table} VALUES (1)",
        "COPY": await lake.copy(table, await lake.file({"x": pa.array([1])})),
        "DELETE": f"DELETE FROM {table}",
        "UPDATE": f"UPDATE {table} SET a = 1",
    }[how]
    await holder.execute(sql)
    waiter = await asyncpg.connect(stack.dsn)
    waiting = asyncio.create_task(waiter.execute(sql))
    while True:
        locks = [(found[0], *found[3:]) for found in await held(connection, table)]
        if any(not granted for *_, granted in locks):
            break
    assert [found for found in locks if found[1] != "AccessShareLock"] == [
        (holder.get_server_pid(), "ShareRowExclusiveLock", True),
        (waiter.get_server_pid(), "ShareRowExclusiveLock", False),
    ]
    await holder.execute("ROLLBACK")
    await waiting
    await waiter.close()


async def test_an_open_transaction_shows_itself(connection: asyncpg.Connection, holder: asyncpg.Connection) -> None:
    await holder.execute("SELECT 1 FROM pg_class LIMIT 1")
    sql = (
        "SELECT lock_mode, relation, granted, txn_db FROM svv_transactions "
        f"WHERE lockable_object_type = 'transactionid' AND pid = {holder.get_server_pid()}"
    )
    assert [tuple(found) for found in await connection.fetch(sql)] == [("ExclusiveLock", None, True, "acequia")]


async def test_a_user_sees_only_locks_of_their_own(
    connection: asyncpg.Connection, holder: asyncpg.Connection, stack: Stack, table: str
) -> None:
    await connection.execute(f"CREATE USER {table}_u PASSWORD '{PASSWORD}'; GRANT SELECT ON {table} TO {table}_u")
    user = await asyncpg.connect(dsn_of(stack, f"{table}_u"), statement_cache_size=0)
    await user.execute(f"BEGIN; SELECT a FROM {table}")
    await holder.execute(f"INSERT INTO {table} VALUES (1)")
    assert {found[1] for found in await held(user, table)} == {f"{table}_u"}
    assert {found[1] for found in await held(connection, table)} == {f"{table}_u", "acequia"}
    await user.close()


@pytest.mark.parametrize("sql", ["LOCK {t}", "INSERT INTO {t} VALUES (1)", "COPY"])
async def test_who_waits_longer_than_the_statement_timeout_is_cancelled(
    connection: asyncpg.Connection, holder: asyncpg.Connection, lake: Lake, table: str, sql: str
) -> None:  # M
    await holder.execute(f"LOCK {table}")
    if sql == "COPY":
        sql = await lake.copy(table, await lake.file({"x": pa.array([1])}))
    await connection.execute("SET statement_timeout TO 50; BEGIN")
    found = await refused(connection, sql.format(t=table))
    assert (found.sqlstate, found.message) == ("57014", "Query cancelled on user's request")
    await connection.execute("ROLLBACK; RESET ALL")
