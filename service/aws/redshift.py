"""The `Warehouse` port on Redshift, through asyncpg.

COPY runs inside an explicit transaction and through the simple protocol: an autocommit COPY survives its client. The
pool's reset (`RESET ALL` on Redshift) wipes session settings, so they are set at every acquire.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg

from service.aws.credentials.logins import GivenLogin, Login, Logins
from service.aws.faults import LoginRefusedError, login_faults, warehouse_faults
from service.core.errors import RejectedError
from service.core.ports import Session, Statement

PlainConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
AnyConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CONNECT_SECONDS_MAX = 30
CONNECTION_SECONDS_MAX = 60
"""To wait for a free connection, and to open and set up one."""
SETUP_SECONDS_MAX = 10
"""For the statements with which a connection begins, or begins to be used again."""
RELEASE_SECONDS_MAX = 3
"""To reset a connection after its use; then it is dropped."""
CLOSE_SECONDS_MAX = 3
"""To say goodbye to the server at the end."""


@dataclass(frozen=True, slots=True)
class WarehouseLimits:
    """`statement_seconds_max` is enforced by the server; ours ends a little later, in case it is not heard."""

    connections_max: int
    statement_seconds_max: int

    @property
    def answer_seconds_max(self) -> float:
        """How long we wait for a statement's answer."""
        return self.statement_seconds_max + 10


class _Session:
    def __init__(self, connection: Connection, limits: WarehouseLimits) -> None:
        self._connection = connection
        self._limits = limits

    async def execute(self, statement: Statement) -> None:
        with warehouse_faults(statement.name):
            await self._connection.execute(statement.text, timeout=self._limits.answer_seconds_max)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        with warehouse_faults(statement.name):
            rows = await self._connection.fetch(statement.text, timeout=self._limits.answer_seconds_max)
        return [tuple(row) for row in rows]


class RedshiftWarehouse:
    """A pool of connections to one database."""

    def __init__(self, pool: Pool, limits: WarehouseLimits) -> None:
        self._pool = pool
        self._limits = limits

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Begin; commit at the end. On an error roll back, by dropping the connection unless only data was refused."""
        with warehouse_faults("connect"):
            connection = await self._pool.acquire(timeout=CONNECTION_SECONDS_MAX)
        session = _Session(connection, self._limits)
        try:
            await session.execute(Statement("begin", "BEGIN"))
            try:
                yield session
            except RejectedError:
                await session.execute(Statement("rollback", "ROLLBACK"))
                raise
            await session.execute(Statement("commit", "COMMIT"))
        except RejectedError:
            raise
        except BaseException:
            with suppress(asyncpg.InterfaceError):  # lost already: the pool has taken it away
                connection.terminate()
            raise
        finally:
            with warehouse_faults("release"):
                await self._pool.release(connection, timeout=RELEASE_SECONDS_MAX)

    async def run(self, statement: Statement) -> None:
        """One statement, committed by itself."""
        with warehouse_faults(statement.name):
            async with self._pool.acquire(timeout=CONNECTION_SECONDS_MAX) as connection:
                await connection.execute(statement.text, timeout=self._limits.answer_seconds_max)


async def read_as_text(connection: AnyConnection) -> None:
    """Have NUMERIC and SUPER sent as text.

    Redshift's binary NUMERIC is not PostgreSQL's and would be misread in silence; SUPER asyncpg cannot look up there.
    """
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=Decimal, format="text")
    await connection.set_type_codec("super", schema="pg_catalog", encoder=str, decoder=str, format="text")


def open_warehouse(
    dsn: str, *, password: str | None, tls: bool, limits: WarehouseLimits
) -> AbstractAsyncContextManager[RedshiftWarehouse]:
    """A pool for the user that the DSN names. None leaves the password to the DSN."""
    return open_warehouse_with(GivenLogin(password), dsn, tls=tls, limits=limits)


@asynccontextmanager
async def open_warehouse_with(
    logins: Logins, dsn: str, *, tls: bool, limits: WarehouseLimits
) -> AsyncIterator[RedshiftWarehouse]:
    """A pool that connects when it is first needed, so that a warehouse that is down does not stop the start."""
    settings = f"SET query_group TO 'acequia'; SET statement_timeout TO {limits.statement_seconds_max * 1000}"

    async def init(connection: PlainConnection) -> None:
        with _dropped_when_it_fails(connection):
            async with asyncio.timeout(SETUP_SECONDS_MAX):
                await read_as_text(connection)

    async def setup(connection: Connection) -> None:
        with _dropped_when_it_fails(connection):
            await connection.execute(settings, timeout=SETUP_SECONDS_MAX)

    pool = asyncpg.create_pool(
        dsn,
        connect=_connect_with(logins),
        ssl=ssl.create_default_context() if tls else False,
        min_size=0,
        max_size=limits.connections_max,
        init=init,
        setup=setup,
        statement_cache_size=0,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=limits.answer_seconds_max,
        max_inactive_connection_lifetime=300,
    )
    await pool
    try:
        yield RedshiftWarehouse(pool, limits)
    finally:
        with suppress(TimeoutError):  # who does not say goodbye is left: closing again would wait as long
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await pool.close()


@contextmanager
def _dropped_when_it_fails(connection: AnyConnection) -> Iterator[None]:
    """Otherwise the pool says goodbye to a server that may not answer, and waits for it."""
    try:
        yield
    except BaseException:
        connection.terminate()
        raise


def _connect_with(logins: Logins) -> Callable[..., Coroutine[Any, Any, PlainConnection]]:
    """How the pool opens a connection: a login that is refused is tried once more if there is another by now.

    No further: Redshift locks out a user whose logins are refused again and again.
    """

    async def log_in(login: Login, *args: Any, **kwargs: Any) -> PlainConnection:
        given = kwargs | {"user": login.user, "password": login.password}
        with login_faults(logins.advice):
            return await asyncpg.connect(*args, **given)

    async def connect(*args: Any, **kwargs: Any) -> PlainConnection:
        login = await logins.current()
        try:
            return await log_in(login, *args, **kwargs)
        except LoginRefusedError:
            other = await logins.after_refusal(login)
            if other is None:
                raise
        return await log_in(other, *args, **kwargs)

    return connect
