"""The ports of one process: each call passes the process's gate on its way to the stores that all processes share.

Calls are cut as the real clients cut them: batches of ten at a queue, one object at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from service.core.errors import SetupError, TransientError
from service.core.model import Message, Outgoing, utf8_bytes
from service.core.ports import Depth, Session, Statement, Stored
from service.refine.compile import Program
from service.refine.execute import judge
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.warehouse import FakeWarehouse
from tests.simulation.faults import Fault
from tests.simulation.process import Process

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

SQS_SECONDS_MAX, S3_SECONDS_MAX, STATEMENT_SECONDS_MAX = 60.0, 120.0, 40.0
ENTRIES_MAX = 10
PURE: object = judge


class GateQueue:
    """The `Queue` port."""

    def __init__(self, queue: FakeQueue, process: Process) -> None:
        self.name = queue.name
        self._queue = queue
        self._process = process

    async def receive(self, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        asked = asyncio.get_running_loop().time()

        async def receive() -> list[Message]:
            return await self._queue.receive(wait_seconds=wait_seconds, visibility_seconds=visibility_seconds)

        async def nothing(_: Fault) -> list[Message]:
            await asyncio.sleep(wait_seconds)
            return []

        async def again(fault: Fault) -> list[Message]:
            if not self._queue.double():
                self._process.weather.never_mind(fault)
            return await receive()

        async def undeleted(fault: Fault) -> list[Message]:
            if not self._queue.undelete():
                self._process.weather.never_mind(fault)
            return await receive()

        special = {"nothing": nothing, "again": again, "undeleted": undeleted}
        seconds_max = wait_seconds + 15.0
        messages = await self._process.call(
            f"{self.name} receive", receive, dependency="sqs", seconds_max=seconds_max, special=special
        )
        self._process.holds({m.receipt: (asked + visibility_seconds, utf8_bytes(m.body)) for m in messages})
        return messages

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        def act(ten: Sequence[str]) -> Callable[[], Any]:
            return lambda: self._queue.delete(ten)

        failed = await self._in_tens("delete", receipts, act)
        self._drop(receipts)
        return failed

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        def act(ten: Sequence[str]) -> Callable[[], Any]:
            return lambda: self._queue.hide(ten, seconds)

        try:
            failed = await self._in_tens("hide", receipts, act)
        except asyncio.CancelledError:
            self._process.hung_up = self._process.hung_up or not seconds
            raise
        if seconds:
            until = asyncio.get_running_loop().time() + seconds
            held = self._process.held
            self._process.holds({r: (until, held[r][1]) for r in receipts if r in held and r not in failed})
        else:
            self._drop(receipts)
        return failed

    async def send(self, messages: Sequence[Outgoing]) -> None:
        for ten in _tens(messages):
            await self._send(ten)

    async def depth(self) -> Depth:
        return await self._process.call("depth", self._queue.depth, dependency="sqs", seconds_max=SQS_SECONDS_MAX)

    async def _send(self, ten: Sequence[Outgoing]) -> None:
        async def some_fail(_: Fault) -> None:
            await self._queue.send(ten[1:])
            raise TransientError("sqs", "it did not take all messages")

        async def some_refused(_: Fault) -> None:
            await self._queue.send(ten[1:])
            raise SetupError("sqs: it refused a message of ours")

        await self._process.call(
            f"{self.name} send",
            lambda: self._queue.send(ten),
            dependency="sqs",
            seconds_max=SQS_SECONDS_MAX,
            special={"some fail": some_fail, "some refused": some_refused},
        )

    async def _in_tens(
        self, verb: str, receipts: Sequence[str], act: Callable[[Sequence[str]], Callable[[], Any]]
    ) -> list[str]:
        failed: list[str] = []
        for ten in _tens(receipts):

            async def some_fail(_: Fault, ten: Sequence[str] = ten) -> list[str]:
                return [*ten[::2], *await act(ten[1::2])()]

            async def expired(_: Fault, ten: Sequence[str] = ten) -> list[str]:
                self._queue.expire(ten)
                return list(await act(ten)())

            special = {"some fail": some_fail, "expired": expired}
            failed += await self._process.call(
                f"{self.name} {verb}", act(ten), dependency="sqs", seconds_max=SQS_SECONDS_MAX, special=special
            )
        return failed

    def _drop(self, receipts: Sequence[str]) -> None:
        for receipt in receipts:
            self._process.held.pop(receipt, None)


class GateStore:
    """The `ObjectStore` port."""

    def __init__(self, store: FakeStore, process: Process, touched: Callable[[str], None]) -> None:
        self._store = store
        self._process = process
        self._touched = touched

    async def put_new(self, uri: str, body: bytes) -> Stored:
        return await self._call(f"put {_kind(uri)}", uri, lambda: self._store.put_new(uri, body))

    async def describe(self, uri: str) -> Stored | None:
        return await self._call(f"describe {_kind(uri)}", uri, lambda: self._store.describe(uri))

    async def get(self, uri: str) -> bytes:
        return await self._call(f"get {_kind(uri)}", uri, lambda: self._store.get(uri))

    async def remove(self, uris: Sequence[str]) -> None:
        for uri in uris:
            await self._call(f"remove {_kind(uri)}", uri, partial(self._store.remove, [uri]))

    async def _call(self, point: str, uri: str, act: Callable[[], Awaitable[T]]) -> T:
        self._touched(uri)
        return await self._process.call(point, act, dependency="s3", seconds_max=S3_SECONDS_MAX)


class GateWarehouse:
    """The `Warehouse` port."""

    def __init__(self, warehouse: FakeWarehouse, process: Process) -> None:
        self._warehouse = warehouse
        self._process = process

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        await self._process.call("warehouse begin", _nothing, dependency="warehouse")
        transaction = self._warehouse.transaction()
        session = await transaction.__aenter__()
        committing = False

        async def commit() -> None:
            nonlocal committing
            committing = True
            await transaction.__aexit__(None, None, None)

        async def late(fault: Fault) -> None:
            nonlocal committing
            committing = True
            self._process.weather.later(fault.seconds, commit)
            raise TransientError("warehouse", "no answer")

        async def roll_back() -> None:
            await transaction.__aexit__(_GoneError, _GoneError(), None)

        try:
            yield _GateSession(session, self._process)
            await self._process.call(
                "warehouse commit",
                commit,
                dependency="warehouse",
                seconds_max=STATEMENT_SECONDS_MAX,
                special={"late": late},
            )
        except BaseException:
            lingers, self._process.lingers = self._process.lingers, 0.0
            if lingers and not committing:
                self._process.weather.later(lingers, roll_back)
            elif not committing:
                await roll_back()
            raise

    async def run(self, statement: Statement) -> None:
        await self._process.call(f"warehouse {statement.name}", lambda: self._warehouse.run(statement))


class _GateSession:
    def __init__(self, session: Session, process: Process) -> None:
        self._session = session
        self._process = process

    async def execute(self, statement: Statement) -> None:
        await self._call(statement, lambda: self._session.execute(statement))

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = await self._call(statement, lambda: self._session.fetch(statement))
        return rows

    async def _call(self, statement: Statement, act: Callable[[], Any]) -> Any:
        point = f"warehouse {statement.name}"
        return await self._process.call(point, act, dependency="warehouse", seconds_max=STATEMENT_SECONDS_MAX)


class GateThreads:
    """The `Threads` port without threads. Judging is pure, so what was judged in this run is not judged again."""

    def __init__(self, process: Process, judged: dict[tuple[str, str], Any]) -> None:
        self._process = process
        self._judged = judged

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        async def act() -> R:
            if work is not PURE:
                return work(*args, **kwargs)
            raw_file, program = str(args[1]), args[2]
            assert isinstance(program, Program)
            key = (raw_file, program.sql)
            if key not in self._judged:
                self._judged[key] = work(*args, **kwargs)
            result: R = self._judged[key]
            return result

        return await self._process.call("thread", act, seconds_max=1_000.0)


class _GoneError(Exception):
    """The connection is lost."""


async def _nothing() -> None:
    return


def _tens(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + ENTRIES_MAX] for start in range(0, len(items), ENTRIES_MAX))


def _kind(uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return "manifest" if key.startswith("_manifests/") else bucket
