"""The Redshift stand-in as a server: one PostgreSQL behind it, S3 beside it, a session for each client."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from service.local.ports import HOST
from service.local.postgres import DATABASE, OWNER, SUPERUSER, Postgres
from service.local.redshift.backend import Backend
from service.local.redshift.copy_run import Loader
from service.local.redshift.objects import opened_objects
from service.local.redshift.session import serve_client

CONVERSION_THREADS = 2


@contextlib.asynccontextmanager
async def redshift_standin(port: int, warehouse: Postgres, s3_endpoint: str) -> AsyncIterator[str]:
    """Serve on 127.0.0.1:`port` and give the DSN of the role that owns the database.

    COPY reads from `s3_endpoint`. At the end every session is cut off and its open transaction rolled back. Raises
    OSError if the port is taken. An error in the stand-in's own code ends that session only, and is reported to the
    event loop's exception handler.
    """
    await _add_functions(warehouse)
    async with contextlib.AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(CONVERSION_THREADS, thread_name_prefix="standin"))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="acequia-copy-"))
        objects = await stack.enter_async_context(opened_objects(s3_endpoint))
        loader = Loader(objects, scratch=Path(scratch), threads=threads)
        await stack.enter_async_context(_served(port, warehouse, loader))
        yield f"postgresql://{OWNER}@{HOST}:{port}/{DATABASE}"


@contextlib.asynccontextmanager
async def _served(port: int, warehouse: Postgres, loader: Loader) -> AsyncIterator[None]:
    sessions: set[asyncio.Task[None]] = set()
    backends: set[Backend] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_session(reader, writer, warehouse, loader, backends), name="redshift-session")
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


async def _session(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    warehouse: Postgres,
    loader: Loader,
    peers: set[Backend],
) -> None:
    try:
        await serve_client(reader, writer, warehouse=warehouse, loader=loader, peers=peers)
    finally:
        writer.close()


async def _add_functions(warehouse: Postgres) -> None:
    sql = files(__package__).joinpath("functions.sql").read_text()
    connection = await warehouse.connect(user=SUPERUSER)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
