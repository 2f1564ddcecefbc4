"""The ports of one process: each call passes the process's gate on its way to the stores that all processes share.

The queues are the real ones on a simulated SDK client. Objects go one at a time, as the real store sends them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from service.aws.sqs import SqsQueue
from service.core.errors import ContendedError, RejectedError, SetupError, TransientError
from service.core.model import Message, Outgoing, utf8_bytes
from service.core.ports import Depth, Listed, Session, Statement, Stored
from service.refine.compile import Program
from service.refine.execute import judge
from service.runtime import PooledFanOut
from tests.fakes.notifier import FakeNotifier
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.warehouse import FakeSession, FakeWarehouse
from tests.simulation.faults import Fault
from tests.simulation.process import Process, ProcessClock, Special
from tests.simulation.sqs import SqsClient

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

S3_SECONDS_MAX, STATEMENT_SECONDS_MAX = 120.0, 40.0
CALLS_AT_ONCE = 8
STATEMENT_FAILED = (RejectedError, SetupError, ContendedError)
"""After these a connection is as good as before; after anything else it is gone."""
PURE: object = judge


class GateQueue:
    """The `Queue` port: the real one, on a client that passes the gate. Here is noted what the process may have."""

    def __init__(self, queue: FakeQueue, process: Process) -> None:
        self.name = queue.name
        self._queue = queue
        self._process = process
        self._client = SqsClient(queue, process)
        self._real = SqsQueue(
            queue.name,
            f"https://sqs/{queue.name}",
            polling=self._client,
            calls=self._client,
            fan_out=PooledFanOut(CALLS_AT_ONCE),
            clock=ProcessClock(process),
        )

    async def receive(self, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        asked = asyncio.get_running_loop().time()
        messages = await self._real.receive(wait_seconds=wait_seconds, visibility_seconds=visibility_seconds)
        self._process.holds({m.receipt: (asked + visibility_seconds, utf8_bytes(m.body)) for m in messages})
        return messages

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        self._acts_by(receipts)
        failed = await self._real.delete(receipts)
        self._not_done("delete", "delete", receipts)
        self._drop(receipts)
        return failed

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        self._acts_by(receipts)
        try:
            failed = await self._real.hide(receipts, seconds)
        except asyncio.CancelledError:
            self._process.hung_up = self._process.hung_up or not seconds
            raise
        self._not_done("hide", "extend" if seconds else "release", receipts)
        if seconds:
            until = asyncio.get_running_loop().time() + seconds
            held = self._process.held
            self._process.holds({r: (until, held[r][1]) for r in receipts if r in held and r not in failed})
        else:
            self._drop(receipts)
        return failed

    async def send(self, messages: Sequence[Outgoing]) -> None:
        await self._real.send(messages)

    async def depth(self) -> Depth:
        return await self._real.depth()

    def _acts_by(self, receipts: Sequence[str]) -> None:
        self._process.overdue += self._queue.overdue(receipts)

    def _not_done(self, verb: str, action: str, receipts: Sequence[str]) -> None:
        """Count what the answers say, whatever the real one makes of it."""
        failed = self._client.failed[verb].intersection(receipts)
        if failed:
            self._process.not_done[self.name, action] += len(failed)

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

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        pages = self._store.pages(prefix)
        following = partial(anext, pages, None)
        while (page := await self._call(f"list {_kind(prefix)}", f"{prefix}any", following)) is not None:
            yield page

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        return await self._call(f"read {_kind(uri)}", uri, lambda: self._store.read(uri))

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        async def conflict(_: Fault) -> str | None:
            return None  # somebody else was faster

        act = partial(self._store.replace, uri, body, etag=etag)
        return await self._call(f"replace {_kind(uri)}", uri, act, {"conflict": conflict})

    async def _call(
        self, point: str, uri: str, act: Callable[[], Awaitable[T]], special: Mapping[str, Special[T]] | None = None
    ) -> T:
        self._touched(uri)
        return await self._process.call(point, act, dependency="s3", seconds_max=S3_SECONDS_MAX, special=special)


class GateNotifier:
    """The `Notifier` port. `asked` is told of each mail that SNS is asked to send."""

    def __init__(self, notifier: FakeNotifier, process: Process, asked: Callable[[str, str], None]) -> None:
        self._notifier = notifier
        self._process = process
        self._asked = asked

    async def publish(self, subject: str, text: str) -> None:
        self._asked(subject, text)
        act = partial(self._notifier.publish, subject, text)
        await self._process.call("sns publish", act, dependency="sns", seconds_max=S3_SECONDS_MAX)


class GateWarehouse:
    """The `Warehouse` port."""

    def __init__(self, warehouse: FakeWarehouse, process: Process) -> None:
        self._warehouse = warehouse
        self._process = process
        self._idle: list[set[str]] = []
        """The pool's connections that nobody uses: the temporary tables of each."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        await self._process.call("warehouse begin", _nothing, dependency="warehouse")
        connection = self._idle.pop() if self._idle else set[str]()
        before = set(connection)
        transaction = self._warehouse.transaction(connection)
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
            self._idle.append(connection)
        except BaseException as wrong:
            if isinstance(wrong, STATEMENT_FAILED):
                self._idle.append(before)
            lingers, self._process.lingers = self._process.lingers, 0.0
            if lingers and not committing:
                self._process.weather.later(lingers, roll_back)
            elif not committing:
                await roll_back()
            raise

    async def run(self, statement: Statement) -> None:
        await self._process.call(f"warehouse {statement.name}", lambda: self._warehouse.run(statement))


class _GateSession:
    def __init__(self, session: FakeSession, process: Process) -> None:
        self._session = session
        self._process = process

    async def execute(self, statement: Statement) -> None:
        await self._call(statement, lambda: self._session.execute(statement))

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = await self._call(statement, lambda: self._session.fetch(statement))
        return rows

    async def _call(self, statement: Statement, act: Callable[[], Any]) -> Any:
        async def short(fault: Fault) -> None:
            await act()
            if not self._session.shorten():
                self._process.weather.never_mind(fault)

        return await self._process.call(
            f"warehouse {statement.name}",
            act,
            dependency="warehouse",
            seconds_max=STATEMENT_SECONDS_MAX,
            special={"short": short},
        )


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


def _kind(uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if key.startswith("_manifests/"):
        return "manifest"
    if bucket != "errors":
        return bucket
    if key.endswith("_mailbox.json"):
        return "mailbox"
    first = key.partition("/")[0]
    return "original" if first == "originals" and key.endswith(".json") else first
