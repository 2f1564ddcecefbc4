"""Lets containers reach what listens on this machine's loopback alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.local.ports import HOST

CHUNK_BYTES = 64 * 1024


@asynccontextmanager
async def relayed(port: int, *, to: str) -> AsyncIterator[int]:
    """Whatever connects to the address `to` talks to 127.0.0.1:`port`; gives the port at `to`."""
    talks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(_talk(reader, writer, port), name="relay")
        talks.add(talk)
        talk.add_done_callback(talks.discard)

    server = await asyncio.start_server(connected, to, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


async def _talk(theirs: asyncio.StreamReader, to_them: asyncio.StreamWriter, port: int) -> None:
    ours, to_us = await asyncio.open_connection(HOST, port)
    try:
        await asyncio.gather(_pass_on(theirs, to_us), _pass_on(ours, to_them))
    finally:
        to_us.close()
        to_them.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(CHUNK_BYTES):
            writer.write(some)
            await writer.drain()
    except ConnectionError:
        pass  # the other side hears of it as an end
    finally:
        writer.close()
