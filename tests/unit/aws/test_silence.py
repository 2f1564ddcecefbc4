"""A warehouse that says nothing any more, without a word: nobody waits for it longer than for the work itself."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.aws import redshift
from service.aws.redshift import WarehouseLimits, open_warehouse
from service.core.ports import Warehouse
from service.local.ports import HOST

LIMITS = WarehouseLimits(connections_max=2, statement_seconds_max=1_800)
SECONDS_MAX = 4.0
TLS_ASKED = struct.pack("!I", 80_877_103)
READY = b"Z" + struct.pack("!I", 5) + b"I"


class Server:
    """Speaks as much of PostgreSQL's protocol as a transaction without statements needs, until it falls silent."""

    def __init__(self) -> None:
        self.silent = False
        self.fell_silent_at = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if (await _packet(reader))[:4] == TLS_ASKED:
                writer.write(b"N")
                await _packet(reader)
            key = _message(b"K", struct.pack("!II", 1, 2))
            writer.write(
                _message(b"R", struct.pack("!I", 0)) + _message(b"S", b"server_version\x0012.0\0") + key + READY
            )
            while True:
                kind, text = await reader.readexactly(1), await _packet(reader)
                if self.fell_silent_at and text.startswith(self.fell_silent_at.encode()):
                    self.silent = True
                if kind == b"Q" and not self.silent:
                    writer.write(_message(b"C", b"SELECT 0\0") + READY)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    [size] = struct.unpack("!I", await reader.readexactly(4))
    return await reader.readexactly(size - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


@asynccontextmanager
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, str]]:
    async def nothing(_: object) -> None:
        """The codecs ask the catalogue, which this server has not."""

    monkeypatch.setattr(redshift, "read_as_text", nothing)
    server = Server()
    listening = await asyncio.start_server(server.serve, HOST, 0)
    port = listening.sockets[0].getsockname()[1]
    yield server, f"postgresql://u@{HOST}:{port}/d"
    listening.close()


async def nothing_much(warehouse: Warehouse) -> None:
    async with warehouse.transaction():
        return


async def test_closing_does_not_wait_for_a_server_that_does_not_say_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(monkeypatch) as (server, dsn):
        async with open_warehouse(dsn, password="x", tls=False, limits=LIMITS) as warehouse:
            await nothing_much(warehouse)
            server.silent = True
            began = time.monotonic()
        assert time.monotonic() - began < SECONDS_MAX


@pytest.mark.parametrize("at", ["SET", "BEGIN", "COMMIT"])
async def test_who_is_cancelled_while_the_server_is_silent_is_free_at_once(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    async with (
        served(monkeypatch) as (server, dsn),
        open_warehouse(dsn, password="x", tls=False, limits=LIMITS) as warehouse,
    ):
        await nothing_much(warehouse)
        server.fell_silent_at = at
        work = asyncio.ensure_future(nothing_much(warehouse))
        await _until(lambda: server.silent)
        began = time.monotonic()
        work.cancel()
        await asyncio.wait([work], timeout=2 * SECONDS_MAX)
        assert work.cancelled(), "neither waiting still nor turned into another error"
        assert time.monotonic() - began < SECONDS_MAX


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 (the other side of a socket)
            await asyncio.sleep(0.01)
