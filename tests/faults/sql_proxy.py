"""The warehouse's side of the proxy: between a worker and the stand-in, it knows statements by their first word.

A transaction is known by what was said in it: the target of COMMIT is the list of the transaction's words, so that the
COMMIT of a load is another one than that of a look at the catalogue.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from service.local.ports import HOST
from service.local.redshift import wire
from service.local.redshift.session import cut
from service.local.redshift.wire import Message, MessageReader
from tests.faults.calls import URI, Call, CutError, Forward, Worker
from tests.faults.http_proxy import Traffic, served

_WORD = re.compile(r"\s*(?:--[^\n]*\n\s*)*([A-Za-z]+)")
_TABLE = re.compile(r"\b(lake|acequia)\"?\.\"?(\w+)")
_CANCEL = 80877102


class SqlProxy:
    """Passes on one worker's statements."""

    def __init__(self, worker: Worker, traffic: Traffic, port: int) -> None:
        self._worker = worker
        self._traffic = traffic
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        client = MessageReader(reader)
        startup = await client.startup()
        if startup.code == _CANCEL:
            await self._cancel(startup.raw)
            return
        call = Call(next(self._traffic.numbers), self._worker, "warehouse", "CONNECT", "", "")
        try:
            server = await self._traffic.meet(call, self._connect)
        except CutError:
            cut(writer)
            return
        if isinstance(server, bytes):
            writer.write(server)
            await writer.drain()
            return
        theirs, ours = server
        try:
            ours.write(startup.raw)
            await _Talk(self._worker, self._traffic, (client, writer), (MessageReader(theirs), ours)).run()
        except CutError:
            cut(writer)
        finally:
            ours.close()

    async def _connect(self, _: Call) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self._port)

    async def _cancel(self, raw: bytes) -> None:
        _, ours = await asyncio.open_connection(HOST, self._port)
        ours.write(raw)
        await ours.drain()
        ours.close()


class _Talk:
    """A connection after its start: a client (its messages, and where to write) and a server."""

    def __init__(
        self,
        worker: Worker,
        traffic: Traffic,
        client: tuple[MessageReader, asyncio.StreamWriter],
        server: tuple[MessageReader, asyncio.StreamWriter],
    ) -> None:
        self._worker = worker
        self._traffic = traffic
        self._client, self._to_client = client
        self._server, self._to_server = server
        self._held: bytearray | None = None
        self._ready: asyncio.Future[bytes] | None = None
        self._heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self._left = asyncio.Event()
        self._under_way: asyncio.Task[bytes] | None = None
        self._words: list[str] = []
        self._uris: set[str] = set()

    async def run(self) -> None:
        """Both directions, until one ends. A statement that the server has goes on when the client leaves."""
        tasks = [asyncio.ensure_future(part) for part in (self._back(), self._listen(), self._there())]
        back, _, there = tasks
        try:
            await asyncio.wait({back, there}, return_when=asyncio.FIRST_COMPLETED)
            if there.done():
                there.result()
            if self._under_way is not None and not back.done():
                await asyncio.wait({self._under_way, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            if self._under_way is not None:
                self._under_way.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _back(self) -> None:
        with suppress(ConnectionError):
            while messages := await self._server.batch():
                for message in messages:
                    if self._held is None:
                        self._to_client.write(message.raw)
                        continue
                    self._held += message.raw
                    if message.kind == b"Z" and self._ready is not None and not self._ready.done():
                        self._ready.set_result(bytes(self._held))
                if self._held is None:
                    await self._to_client.drain()

    async def _listen(self) -> None:
        with suppress(ConnectionError):
            while messages := await self._client.batch():
                for message in messages:
                    self._heard.put_nowait(message)
        self._left.set()
        self._heard.put_nowait(None)

    async def _there(self) -> None:
        while (message := await self._heard.get()) is not None:
            await self._passed_on(message)
            await self._to_server.drain()

    async def _passed_on(self, message: Message) -> None:
        if message.kind == b"P":
            await self._unless_left(self._call(wire.parse_parts(message.body)[1]), _nothing)
        if message.kind != b"Q":
            self._to_server.write(message.raw)
            return
        call = self._call(wire.text(message.body))
        answer = await self._unless_left(call, self._forwarded)
        self._held = None
        if answer is not None:
            self._to_client.write(answer)
            await self._to_client.drain()
            self._traffic.told(call)

    async def _unless_left(self, call: Call, forward: Forward) -> Any:
        """What comes of the call; None when the client leaves before."""
        work = asyncio.ensure_future(self._traffic.meet(call, forward))
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            return await work if work.done() else None
        finally:
            work.cancel()
            left.cancel()

    async def _forwarded(self, call: Call) -> bytes:
        self._under_way = asyncio.ensure_future(self._forward(call))
        return await asyncio.shield(self._under_way)

    async def _forward(self, call: Call) -> bytes:
        self._held, self._ready = bytearray(), asyncio.get_running_loop().create_future()
        assert isinstance(call.request, str)
        self._to_server.write(wire.query(call.request).raw)
        await self._to_server.drain()
        answer = await self._ready
        failed = answer[:1] == b"E"
        facts: dict[str, Any] = {"failed": failed}
        if call.operation == "COMMIT" and not failed:
            facts["uris"] = sorted(self._uris)
        if call.operation in ("COMMIT", "ROLLBACK"):
            self._words, self._uris = [], set()
        self._traffic.history.write("done", call.number, call.place, facts)
        return answer

    def _call(self, sql: str) -> Call:
        found = _WORD.match(sql)
        word = found[1].upper() if found else ""
        if word == "BEGIN":
            self._words, self._uris = [], set()
        facts: dict[str, Any] = {"tables": sorted({".".join(found) for found in _TABLE.findall(sql)})}
        if word == "INSERT" and "load_ledger" in sql:
            facts["uris"] = sorted(set(URI.findall(sql)))
            self._uris |= set(facts["uris"])
        target = " ".join(self._words) if word in ("COMMIT", "ROLLBACK") else sql[:200]
        self._words.append(word)
        return Call(next(self._traffic.numbers), self._worker, "warehouse", word, target, sql, facts)


async def _nothing(_: Call) -> None:
    """A statement that is only prepared goes on with the client's other messages."""


@asynccontextmanager
async def sql_proxy(worker: Worker, traffic: Traffic, port: int) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1, in front of the stand-in at the given one; gives the port."""
    async with served(SqlProxy(worker, traffic, port).serve) as own:
        yield own
