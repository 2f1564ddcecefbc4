"""A client's arrival: the first packet, the login, and the session that follows."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass

from service.local.postgres import SUPERUSER, Postgres
from service.local.redshift import wire
from service.local.redshift.backend import Backend
from service.local.redshift.copy_run import Loader
from service.local.redshift.faults import Faults
from service.local.redshift.refusals import OWN_LIMIT
from service.local.redshift.session import ResetError, Session, cut
from service.local.redshift.steps import Steps
from service.local.redshift.unload_run import Unloader
from service.local.redshift.wire import Message, MessageReader, Startup

LOGIN_SECONDS_MAX = 10.0

_PROTOCOL_MAJOR = 3
_LOGIN_REFUSED = "28000"
_WRONG_PASSWORD = "28P01"  # noqa: S105 - the SQLSTATE for one
_STRING_SETTING = "redshift.string_bytes_max"
_PARAMETERS = frozenset({"user", "database", "client_encoding", "application_name", "datestyle", "extra_float_digits"})


@dataclass(frozen=True)
class Means:
    """What all sessions of one stand-in share. `peers` are their backends: a cancel comes on another connection."""

    warehouse: Postgres
    loader: Loader
    unloader: Unloader
    faults: Faults
    peers: set[Backend]
    string_bytes_max: int


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, means: Means) -> None:
    """Serve one client until it leaves. Its backend connection, and with it an open transaction, ends with it."""
    client = MessageReader(reader)
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, wire.ProtocolError, TimeoutError):
            async with asyncio.timeout(LOGIN_SECONDS_MAX):
                startup = await _startup(client, writer)
            refusal = _login_refusal(startup, means.faults)
            if refusal is not None:
                writer.write(refusal.raw)
                await writer.drain()
                return
            await _connected(startup, client, writer, means)
    except ResetError:
        cut(writer)


async def _connected(startup: Startup, client: MessageReader, writer: asyncio.StreamWriter, means: Means) -> None:
    backend_reader, backend_writer = await asyncio.open_unix_connection(str(means.warehouse.socket))
    try:
        if startup.code == wire.CANCEL_REQUEST:
            backend_writer.write(startup.raw)
            for peer in means.peers:
                peer.cancel(startup.raw[wire.CANCEL_KEY_START :])
        else:
            limited = startup.with_parameter(_STRING_SETTING, str(means.string_bytes_max))
            backend_writer.write(limited.raw)
            backend = Backend(MessageReader(backend_reader), backend_writer, writer)
            user = startup.parameters().get("user", "")
            steps = Steps(backend, writer, user=user, loader=means.loader, unloader=means.unloader)
            session = Session(client, writer, backend, steps, means.faults, string_bytes_max=means.string_bytes_max)
            await _registered(session, backend, means.peers)
            backend_writer.write(wire.terminate().raw)
        await backend_writer.drain()
    finally:
        backend_writer.close()


async def _registered(session: Session, backend: Backend, peers: set[Backend]) -> None:
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


def _login_refusal(startup: Startup, faults: Faults) -> Message | None:
    if startup.code == wire.CANCEL_REQUEST:
        return None
    if startup.code >> 16 != _PROTOCOL_MAJOR:
        return wire.error("0A000", "Only protocol version 3 is spoken here.", severity="FATAL")
    parameters = startup.parameters()
    user = parameters.get("user", "")
    if faults.login_refused():
        return wire.error(_WRONG_PASSWORD, f'password authentication failed for user "{user}"', severity="FATAL")
    if user == SUPERUSER:
        return wire.error(_LOGIN_REFUSED, f'role "{SUPERUSER}" belongs to the stand-in', severity="FATAL")
    unknown = {name.lower() for name in parameters if name} - _PARAMETERS
    if unknown:
        text = f"{OWN_LIMIT} The startup parameter {min(unknown)} is not supported."
        return wire.error("0A000", text, severity="FATAL")
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
