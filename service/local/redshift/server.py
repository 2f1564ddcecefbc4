"""The Redshift stand-in as a server: one PostgreSQL behind it, S3 beside it, a session for each client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from importlib.resources import files
from pathlib import Path

import asyncpg

from service.local.ports import HOST
from service.local.postgres import DATABASE, OWNER, SUPERUSER, Postgres
from service.local.redshift.copy_run import Loader
from service.local.redshift.faults import Faults
from service.local.redshift.load_log import LoadLog
from service.local.redshift.login import Means, serve_client
from service.local.redshift.objects import opened_objects
from service.local.redshift.statements import LARGE_STRING_BYTES_MAX, VARCHAR_BYTES_MAX
from service.local.redshift.unload_run import Unloader
from service.local.scratch import scratch_directory

CONVERSION_THREADS = 2

_CATALOGUE = (
    "types.sql",
    "functions.sql",
    "strictness.sql",
    "locks.sql",
    "storage.sql",
    "views.sql",
    "outer_joins.sql",
    "comparisons.sql",
    "loads.sql",
    "transactions.sql",
    "table_info.sql",
    "rights.sql",
)


class Isolation(Enum):
    """The database's level, which Redshift sets for all its transactions. The value is PostgreSQL's name for it."""

    SERIALIZABLE = "serializable"
    SNAPSHOT = "repeatable read"


@contextlib.asynccontextmanager
async def redshift_standin(
    port: int,
    warehouse: Postgres,
    s3_endpoint: str,
    *,
    faults: Faults | None = None,
    isolation: Isolation = Isolation.SERIALIZABLE,
    large_strings: bool = False,
) -> AsyncIterator[str]:
    """Serve on 127.0.0.1:`port` and give the DSN of the role that owns the database.

    COPY reads from `s3_endpoint` and UNLOAD writes to it. `large_strings` is the parameter enable_large_strings_opt_in:
    strings of 16,000,000 bytes in expressions and inside a SUPER, instead of 65,535. At the end every session is cut
    off and its open transaction rolled back. Raises OSError if the port is taken. An error in the stand-in's own code
    ends that session only, and is reported to the event loop's exception handler.
    """
    async with contextlib.AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(CONVERSION_THREADS, thread_name_prefix="standin"))
        scratch = stack.enter_context(scratch_directory("acequia-copy-"))
        log = LoadLog(await stack.enter_async_context(_prepared(warehouse, isolation)))
        objects = await stack.enter_async_context(opened_objects(s3_endpoint))
        armed = faults or Faults()
        longest = LARGE_STRING_BYTES_MAX if large_strings else VARCHAR_BYTES_MAX
        loader = Loader(
            objects, scratch=Path(scratch), threads=threads, log=log, faults=armed, string_bytes_max=longest
        )
        means = Means(warehouse, loader, Unloader(objects), armed, set(), longest)
        await stack.enter_async_context(_served(port, means))
        yield f"postgresql://{OWNER}@{HOST}:{port}/{DATABASE}"


@contextlib.asynccontextmanager
async def _served(port: int, means: Means) -> AsyncIterator[None]:
    sessions: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_session(reader, writer, means), name="redshift-session")
        sessions.add(task)
        task.add_done_callback(sessions.discard)

    server = await asyncio.start_server(connected, HOST, port)
    try:
        yield
    finally:
        server.close()
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        await server.wait_closed()


async def _session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, means: Means) -> None:
    try:
        await serve_client(reader, writer, means)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _prepared(warehouse: Postgres, isolation: Isolation) -> AsyncIterator[asyncpg.Connection]:
    """Give the database what Redshift has; the superuser's connection, for as long as the stand-in runs."""
    connection = await warehouse.connect(user=SUPERUSER)
    try:
        await connection.execute("SET default_transaction_isolation = 'read committed'")
        for name in _CATALOGUE:
            await connection.execute(files(__package__).joinpath(name).read_text())
        level = f"ALTER DATABASE {DATABASE} SET default_transaction_isolation = '{isolation.value}'"
        await connection.execute(level)
        yield connection
    finally:
        await connection.close()
