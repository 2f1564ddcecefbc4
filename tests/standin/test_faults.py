"""Faults on demand: each happens as often as it was armed, is counted, and looks to a client like the real thing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from service.local.ports import free_port
from service.local.postgres import postgres
from service.local.redshift.faults import Faults
from service.local.redshift.server import Isolation, redshift_standin
from tests.standin.lake import Lake, Stack, count, refused

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

RESET = (asyncpg.ConnectionDoesNotExistError, ConnectionResetError)


@dataclass(frozen=True)
class Faulty:
    dsn: str
    faults: Faults


@pytest_asyncio.fixture(loop_scope="session")
async def faulty(stack: Stack, lake: Lake) -> AsyncIterator[Faulty]:
    """A second stand-in in front of the same warehouse."""
    faults = Faults()
    async with redshift_standin(free_port(0), stack.warehouse, stack.s3_endpoint, faults=faults) as dsn:
        yield Faulty(dsn, faults)


async def ended(stack: Stack, process: int) -> None:
    """Return once the session's backend is gone; the test's own time limit ends a wait in vain."""
    watcher = await stack.warehouse.connect(user="standin")
    while await watcher.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", process):
        pass
    await watcher.close()


async def test_a_violation_aborts_the_transaction_once(faulty: Faulty, table: str) -> None:
    connection = await asyncpg.connect(faulty.dsn)
    await connection.execute(f"CREATE TABLE {table} (a int)")
    faulty.faults.violate(f"insert into {table}")
    await connection.execute("BEGIN")
    error = await refused(connection, f"INSERT INTO {table} VALUES (1)")
    assert (error.sqlstate, error.message) == ("XX000", "1023")
    assert (await refused(connection, "SELECT 1")).sqlstate == "25P02"
    await connection.execute("ROLLBACK")
    await connection.execute(f"INSERT INTO {table} VALUES (1)")
    assert await count(connection, table) == 1
    assert faulty.faults.fired == {"violate": 1}
    await connection.close()


async def test_a_violation_reaches_prepared_statements_and_copies(faulty: Faulty, lake: Lake, table: str) -> None:
    connection = await asyncpg.connect(faulty.dsn)
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    copy = await lake.copy(table, await lake.file({"x": pa.array([1])}))
    faulty.faults.violate(table, times=2)
    assert (await refused(connection, f"SELECT * FROM {table} WHERE a = $1", 1)).message == "1023"
    assert (await refused(connection, copy)).message == "1023"
    assert await connection.execute(copy) == "COPY"
    assert faulty.faults.fired["violate"] == 2
    await connection.close()


@pytest.mark.parametrize(("after", "rows"), [(False, 0), (True, 1)])
async def test_a_connection_dropped_around_commit(
    faulty: Faulty, connection: asyncpg.Connection, table: str, *, after: bool, rows: int
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int)")
    client = await asyncpg.connect(faulty.dsn)
    await client.execute(f"BEGIN; INSERT INTO {table} VALUES (1)")
    (faulty.faults.drop_after_commit if after else faulty.faults.drop_before_commit)()
    with pytest.raises(RESET):
        await client.execute("COMMIT")
    await connection.execute(f"BEGIN; LOCK {table}; COMMIT")  # waits until the dropped session is gone
    assert await count(connection, table) == rows
    assert faulty.faults.fired == {f"drop_{'after' if after else 'before'}_commit": 1}


async def test_a_delayed_commit_takes_effect_when_the_client_is_back(
    faulty: Faulty, connection: asyncpg.Connection, table: str
) -> None:
    client = await asyncpg.connect(faulty.dsn)
    await client.execute(f"CREATE TABLE {table} (a int)")
    await client.execute(f"BEGIN; INSERT INTO {table} VALUES (1)")
    faulty.faults.delay_commit(until=f"lock {table}")
    with pytest.raises(RESET):
        await client.execute("COMMIT")

    again = await asyncpg.connect(faulty.dsn)
    await again.execute("BEGIN")
    assert await count(connection, table) == 0
    await again.execute(f"LOCK {table}")  # granted when the first COMMIT has taken effect
    assert await count(again, table) == 1
    await again.close()
    assert faulty.faults.fired == {"delay_commit": 1}


async def test_a_statement_that_hangs_is_never_run(
    faulty: Faulty, stack: Stack, connection: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int)")
    client = await asyncpg.connect(faulty.dsn)
    process = client.get_server_pid()
    faulty.faults.hang("insert")
    hanging = asyncio.create_task(client.execute(f"INSERT INTO {table} VALUES (1)"))
    other = await asyncpg.connect(faulty.dsn)
    await other.execute(f"INSERT INTO {table} VALUES (2)")
    assert not hanging.done()
    client.terminate()
    with pytest.raises(RESET):
        await hanging
    await ended(stack, process)
    assert await count(connection, table) == 1
    assert faulty.faults.fired == {"hang": 1}
    await other.close()


async def test_logins_are_refused_as_often_as_armed(faulty: Faulty) -> None:
    faulty.faults.refuse_logins(times=2)
    for _ in range(2):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(faulty.dsn)
    await (await asyncpg.connect(faulty.dsn)).close()
    assert faulty.faults.fired == {"refuse_logins": 2}


async def test_a_copy_fails_at_a_named_file(faulty: Faulty, lake: Lake, table: str) -> None:
    connection = await asyncpg.connect(faulty.dsn)
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    good, bad = await lake.file({"x": pa.array([1])}), await lake.file({"x": pa.array([2])})
    faulty.faults.fail_copy(bad["url"], error="Access denied here")
    await connection.execute(await lake.copy(table, good))
    error = await refused(connection, await lake.copy(table, good, bad))
    assert "Access denied here" in error.detail
    await connection.execute(await lake.copy(table, good, bad))
    assert await count(connection, table) == 3
    assert faulty.faults.fired == {"fail_copy": 1}
    await connection.close()


async def test_under_snapshot_isolation_who_reads_and_writes_is_not_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with (
        postgres(tmp_path_factory.mktemp("snapshot")) as warehouse,
        redshift_standin(free_port(0), warehouse, "http://127.0.0.1:9", isolation=Isolation.SNAPSHOT) as dsn,
    ):
        first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        await first.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (0)")
        for each in (first, second):
            await each.execute("BEGIN")
            assert await count(each, "t") == 1
        await first.execute("INSERT INTO t VALUES (1); COMMIT")
        await second.execute("INSERT INTO t VALUES (2); COMMIT")
        assert await count(first, "t") == 3
        for each in (first, second):
            await each.execute("BEGIN")
            assert await count(each, "t") == 3
        await first.execute("UPDATE t SET a = a + 1; COMMIT")
        assert (await refused(second, "UPDATE t SET a = a + 1")).message == "1023"
        await first.close()
        await second.close()
