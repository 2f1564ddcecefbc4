"""The HTTP side of the proxy: one server for each worker and service, in front of emulated AWS."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from service.local.ports import HOST
from service.local.redshift.session import cut
from tests.faults.calls import (
    Answer,
    Call,
    CutError,
    Pace,
    Request,
    Worker,
    s3_call,
    s3_done,
    sns_call,
    sns_done,
    sqs_call,
    sqs_done,
)
from tests.faults.history import History
from tests.faults.rules import Rules

HEAD_BYTES_MAX = 64 * 1024
ANSWER_SECONDS_MAX = 60
_OURS = {"connection", "expect", "transfer-encoding", "content-length", "keep-alive", "date", "server"}
"""Headers of a hop; each hop has its own."""
_READ: dict[str, tuple[Callable[[int, Worker, Request], Call], Callable[[Call, Answer], dict[str, Any]]]] = {
    "sqs": (sqs_call, sqs_done),
    "s3": (s3_call, s3_done),
    "sns": (sns_call, sns_done),
}


@dataclass(frozen=True)
class Traffic:
    """What all proxies of a test share. `under_way` are calls whose end the server has not told yet."""

    history: History
    rules: Rules
    numbers: itertools.count  # type: ignore[type-arg]
    under_way: set[asyncio.Task[Any]]

    async def meet(self, call: Call, forward: Callable[[Call], Any]) -> Any:
        """Put the call down, let it meet its fault, and give what is to be passed on. Raises CutError."""
        self.history.write("asked", call.number, call.place, call.facts)
        rule = self.rules.met(call)
        if rule is None:
            return await forward(call)
        self.history.write("fault", call.number, call.place, {"rule": rule.name})
        return await rule.action(call, forward)

    def told(self, call: Call) -> None:
        """The answer was passed on."""
        self.history.write("told", call.number, call.place, {})


class HttpProxy:
    """Passes on one worker's calls to one service."""

    def __init__(self, service: str, worker: Worker, traffic: Traffic, session: aiohttp.ClientSession) -> None:
        self._read, self._done = _READ[service]
        self._worker = worker
        self._traffic = traffic
        self._session = session

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, call after call."""
        while (request := await read_request(reader, writer)) is not None:
            call = self._read(next(self._traffic.numbers), self._worker, request)
            try:
                answer = await _unless_left(reader, self._traffic.meet(call, self._forward))
                if answer is None:
                    return
                await _write(writer, answer, head_only=request.method == "HEAD")
            except CutError:
                cut(writer)
                return
            self._traffic.told(call)

    async def _forward(self, call: Call) -> Answer:
        """Have it done. It goes on when the client leaves, as it would at AWS, so that the history knows its end."""
        task = asyncio.ensure_future(self._asked(call))
        self._traffic.under_way.add(task)
        task.add_done_callback(self._traffic.under_way.discard)
        task.add_done_callback(_looked_at)
        return await asyncio.shield(task)

    async def _asked(self, call: Call) -> Answer:
        request = call.http
        headers = {name: value for name, value in request.headers.items() if name not in _OURS}
        asked = self._session.request(
            request.method, URL(request.path, encoded=True), headers=headers, data=request.body or None
        )
        async with asked as response:
            body = await response.read()
            passed = {name: value for name, value in response.headers.items() if name.lower() not in _OURS}
            if request.method == "HEAD":
                passed["Content-Length"] = response.headers.get("Content-Length", "0")
            answer = Answer(response.status, passed, body)
        self._traffic.history.write("done", call.number, call.place, self._done(call, answer))
        return answer


@asynccontextmanager
async def http_proxy(service: str, worker: Worker, traffic: Traffic, endpoint: str) -> AsyncIterator[str]:
    """Serve on a port of 127.0.0.1; gives the endpoint."""
    limits = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(
        base_url=endpoint,
        timeout=limits,
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=0),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        proxy = HttpProxy(service, worker, traffic, session)
        async with served(proxy.serve) as port:
            yield f"http://{HOST}:{port}"


@asynccontextmanager
async def served(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[int]:
    """A server on a free port; gives the port. At the end every connection is closed, also one that just came."""
    tasks: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
    closed = False

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    def ended(task: asyncio.Task[Any]) -> None:
        tasks.pop(task).close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if closed:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(one(reader, writer))
        tasks[task] = writer
        task.add_done_callback(ended)

    server = await asyncio.start_server(connected, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        closed = True
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)  # what the loop has accepted already is handed to us, and refused, now


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request of a connection, None when the client has left. Header names come in lower case."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunked(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(pieces)


async def _unless_left(reader: asyncio.StreamReader, work: Any) -> Any:
    """What the work gives; None when the client leaves before (it sends nothing more before it has its answer)."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, left):
            one.cancel()
        await asyncio.wait({task, left})
        _looked_at(task, left)


def _looked_at(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def _write(writer: asyncio.StreamWriter, answer: Answer, *, head_only: bool) -> None:
    headers = dict(answer.headers)
    if not head_only:
        headers["Content-Length"] = str(len(answer.body))
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "-"
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if not head_only:
        await _write_body(writer, answer.body, answer.pace)
    await writer.drain()


async def _write_body(writer: asyncio.StreamWriter, body: bytes, pace: Pace | None) -> None:
    if pace is None:
        writer.write(body)
        return
    for start in range(0, len(body), pace.piece_bytes):
        if pace.stalls_after_bytes is not None and start >= pace.stalls_after_bytes:
            await asyncio.Event().wait()
        if pace.breaks_after_bytes is not None and start >= pace.breaks_after_bytes:
            raise CutError
        writer.write(body[start : start + pace.piece_bytes])
        await writer.drain()
        await asyncio.sleep(pace.seconds)
