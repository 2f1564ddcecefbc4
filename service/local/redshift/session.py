"""One client of the stand-in: its login, the relay in both directions, and the statements that are intercepted."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TypeAlias

from service.local.postgres import SUPERUSER, Postgres
from service.local.redshift import wire
from service.local.redshift.backend import Backend, BackendFailedError
from service.local.redshift.copy_run import Loaded, Loader
from service.local.redshift.copy_statement import CopyStatement, is_copy, read_copy
from service.local.redshift.refusals import RefusedError, not_supported
from service.local.redshift.statements import Statement, rewritten, statements
from service.local.redshift.wire import Message, MessageReader, Startup

_Steps: TypeAlias = list[str | CopyStatement]

LOGIN_SECONDS_MAX = 10.0
TOKENISED_ON_LOOP_CHARACTERS_MAX = 16 * 1024

_PROTOCOL_MAJOR = 3
_ANSWERED_BY_READY = frozenset({b"Q", b"S", b"F"})
_LOGIN_REFUSED = "28000"
_COUNT_SETTING = "redshift.last_copy_count"
_ID_SETTING = "redshift.last_copy_id"


async def serve_client(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    warehouse: Postgres,
    loader: Loader,
    peers: set[Backend],
) -> None:
    """Serve one client until it leaves. Its backend connection, and with it an open transaction, ends with it.

    `peers` are the backends of all clients: a request to cancel comes on a connection of its own.
    """
    client = MessageReader(reader)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, wire.ProtocolError, TimeoutError):
        async with asyncio.timeout(LOGIN_SECONDS_MAX):
            startup = await _startup(client, writer)
        refusal = _login_refusal(startup)
        if refusal is not None:
            writer.write(refusal.raw)
            await writer.drain()
            return
        backend_reader, backend_writer = await asyncio.open_unix_connection(str(warehouse.socket))
        try:
            backend_writer.write(startup.raw)
            if startup.code == wire.CANCEL_REQUEST:
                for peer in peers:
                    peer.cancel(startup.raw[wire.CANCEL_KEY_START :])
            else:
                backend = Backend(MessageReader(backend_reader), backend_writer, writer)
                await _registered(Session(client, writer, backend, loader), backend, peers)
                backend_writer.write(wire.terminate().raw)
            await backend_writer.drain()
        finally:
            backend_writer.close()


async def _registered(session: "Session", backend: Backend, peers: set[Backend]) -> None:
    peers.add(backend)
    try:
        await _either(session.run(), backend.relay())
    finally:
        peers.discard(backend)


async def _startup(client: MessageReader, writer: asyncio.StreamWriter) -> Startup:
    while True:  # a client asks for each kind of encryption once; the caller limits the time
        startup = await client.startup()
        if startup.code not in {wire.SSL_REQUEST, wire.GSS_REQUEST}:
            return startup
        writer.write(b"N")
        await writer.drain()


def _login_refusal(startup: Startup) -> Message | None:
    if startup.code == wire.CANCEL_REQUEST:
        return None
    if startup.code >> 16 != _PROTOCOL_MAJOR:
        return wire.error("0A000", "Only protocol version 3 is spoken here.", severity="FATAL")
    if startup.parameters().get("user") == SUPERUSER:
        return wire.error(_LOGIN_REFUSED, f'role "{SUPERUSER}" belongs to the stand-in', severity="FATAL")
    return None


async def _either(*works: Coroutine[None, None, None]) -> None:
    """Run all until the first has ended, then cancel the others. Raises what the first raised."""
    tasks = [asyncio.create_task(work, name="redshift-relay") for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


class Session:
    """What a client says, after its login."""

    def __init__(self, client: MessageReader, writer: asyncio.StreamWriter, backend: Backend, loader: Loader) -> None:
        self._client = client
        self._writer = writer
        self._backend = backend
        self._loader = loader

    async def run(self) -> None:
        """Pass on what the client says, in order, until it leaves."""
        while messages := await self._client.batch():
            outgoing = bytearray()
            for message in messages:
                if message.kind == b"X":
                    return
                passed_on = message
                if message.kind == b"P":
                    passed_on = await self._parse(message)
                elif message.kind == b"Q":
                    steps = await self._steps(wire.text(message.body))
                    match steps:
                        case []:
                            pass
                        case [str(text)]:
                            passed_on = wire.query(text)
                        case _:
                            await self._backend.send(bytes(outgoing))
                            outgoing.clear()
                            await self._take_over(steps)
                            continue
                if passed_on.kind in _ANSWERED_BY_READY:
                    self._backend.expect_ready()
                outgoing += passed_on.raw
            await self._backend.send(bytes(outgoing))

    async def _parse(self, message: Message) -> Message:
        """The Parse message for the backend."""
        name, sql, types = wire.parse_parts(message.body)
        try:
            found = await _statements(sql)
            if any(is_copy(statement) for statement in found):
                raise not_supported("COPY is not supported in the extended query protocol; send it as a simple query.")
            text = "; ".join(rewritten(statement) for statement in found)
        except RefusedError as refusal:
            text = self._failing(refusal)
        return wire.parse(name, text, types) if text else message

    async def _steps(self, sql: str) -> _Steps:
        """What a simple query asks for: texts for the backend and COPYs, in order; empty if it goes as it is."""
        try:
            return _planned(await _statements(sql))
        except RefusedError as refusal:
            return [self._failing(refusal)]

    def _failing(self, refusal: RefusedError) -> str:
        return self._backend.failing(_error(refusal))

    async def _take_over(self, steps: _Steps) -> None:
        """Run the steps one by one up to the first that fails, and tell the client that all is done."""
        async with self._backend.taken_over():
            for step in steps:
                if not await (self._copy(step) if isinstance(step, CopyStatement) else self._backend.relay_query(step)):
                    break
            self._writer.write(wire.ready(self._backend.status).raw)
        await self._writer.drain()

    async def _copy(self, statement: CopyStatement) -> bool:
        """Run a COPY in the client's transaction, or in one of its own where there is none. False if it failed."""
        if self._backend.status == b"E":
            return await self._backend.relay_query("SELECT 1")  # fails with 25P02
        own_transaction = self._backend.status == b"I"
        try:
            loaded = await self._loaded(statement, own_transaction=own_transaction)
        except RefusedError as refusal:
            error = _error(refusal)
        except BackendFailedError as failure:
            error = failure.without_values
        else:
            text = f"Load into table '{statement.shown_table}' completed, {loaded.rows} record(s) loaded successfully."
            self._writer.write(wire.notice("INFO", text).raw + wire.command_complete("COPY").raw)
            return True
        if own_transaction:
            await self._backend.query(f"ROLLBACK; {_set(_COUNT_SETTING, 0)}")
        elif self._backend.status == b"T":
            await self._backend.abort()
        self._writer.write(error.raw)
        return False

    async def _loaded(self, statement: CopyStatement, *, own_transaction: bool) -> Loaded:
        if own_transaction:
            await self._backend.query("BEGIN")
        loaded = await self._loader.load(statement, self._backend)
        await self._backend.query(f"{_set(_COUNT_SETTING, loaded.rows)}; {_set(_ID_SETTING, loaded.query)}")
        if own_transaction:
            await self._backend.query("COMMIT")
        return loaded


def _planned(found: list[Statement]) -> _Steps:
    steps: _Steps = []
    for statement in found:
        if is_copy(statement):
            steps.append(read_copy(statement))
            continue
        text = rewritten(statement)
        if steps and isinstance(steps[-1], str):
            steps[-1] += f";{text}"
        else:
            steps.append(text)
    return steps


async def _statements(sql: str) -> list[Statement]:
    if len(sql) <= TOKENISED_ON_LOOP_CHARACTERS_MAX:
        return statements(sql)
    return await asyncio.to_thread(statements, sql)


def _set(setting: str, number: int) -> str:
    """The statement after which a function of functions.sql tells of this number, until a rollback."""
    return f"SELECT pg_catalog.set_config('{setting}', '{number}', false)"


def _error(refusal: RefusedError) -> Message:
    return wire.error(refusal.sqlstate, refusal.message, refusal.detail)
