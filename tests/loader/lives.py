"""One life of a loader process: every step it takes is counted, and it can die at any of them.

A step is a statement that the stand-in hears, or a durable effect on a queue or the store. Who has died does nothing
more to the world: its connections are cut, its queues and its store no longer listen, its tasks are cancelled. Its
messages stay hidden until somebody gives them back, as a queue does when their visibility ends.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from service.core.events import Event
from service.core.model import Message, Outgoing
from service.core.ports import Depth, Listed, ObjectStore, Stored
from service.local.redshift.faults import Fault, Faults
from tests.fakes.journal import Crash, Journal
from tests.fakes.queue import MESSAGES_A_RECEIVE, FakeQueue, _Stored

COMMIT = re.compile(r"\s*commit\b", re.IGNORECASE)
LEDGER_WRITTEN = re.compile(r"INSERT INTO .acequia")
WORDS_SHOWN = 4
DURABLE = ("COMMIT", "load", "put", "remove", "replace")
"""How the steps begin that have an after: the others take effect with a later one."""


class Life:
    """Dies at its n-th step (from 0): before it happens, or when it has happened and nobody has heard of it.

    Only a durable step has an after; a death after another one is a death before the next.
    """

    def __init__(self, dies_at: int | None = None, *, after: bool = False) -> None:
        self._dies_at = dies_at
        self._after = after
        self.steps: list[str] = []
        self.events: list[Event] = []
        self.died = asyncio.Event()
        self.ending = asyncio.Event()

    def __repr__(self) -> str:
        when = "after" if self._after else "before"
        return f"Life that dies {when} step {self._dies_at}, steps {self.steps[-2:]}"

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """Around a durable effect."""
        if self._dies_now(name, before=True):
            raise Crash(name)
        yield
        if self._dies_now(name, before=False):
            raise Crash(name)

    def statement(self, sql: str) -> Fault | None:
        """What becomes of a statement, if we die at it or are dead."""
        name = " ".join(sql.split()[:WORDS_SHOWN])
        if self._dies_now(name, before=True):
            return Fault.DROP_BEFORE_COMMIT
        if COMMIT.match(sql) and self._dies_now(name, before=False):
            return Fault.DROP_AFTER_COMMIT
        return None

    def _dies_now(self, name: str, *, before: bool) -> bool:
        if self.died.is_set():
            return True
        if before:
            self.steps.append(name)
        number = len(self.steps) - 1
        due = self._dies_at is not None and number == self._dies_at + (1 if self._after and before else 0)
        if due and (before or self._after):
            self.died.set()
        return self.died.is_set()


def deaths(steps: Sequence[str], *, names: tuple[str, ...] = ("",), begin: int = 0) -> Iterator[Life]:
    """A life for each way to die in the course of these steps, of which the first is the life's step `begin`.

    With `names`, only at steps that begin so. A fetched statement is heard twice, as it is prepared and as it is run:
    in between there is nothing to die of.
    """
    for number, step in enumerate(steps):
        if step.startswith(names) and steps[max(0, number - 1) : number] != [step]:
            yield Life(begin + number)
            if step.startswith(DURABLE):
                yield Life(begin + number, after=True)


class Wire(Faults):
    """The faults of a stand-in, through which it also tells the statements of the loader that lives behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.life: Life | None = None
        self._of_loads: list[Callable[[], None]] = []

    def heard(self, sql: str) -> Fault | None:
        """What happens to a client that sends this."""
        fate = self.life.statement(sql) if self.life is not None else None
        if fate is not None:
            return fate
        if self._of_loads and LEDGER_WRITTEN.search(sql):
            self._of_loads.pop(0)()
        return super().heard(sql)

    def at_load(self, arm: Callable[[], None]) -> None:
        """Arm a fault of COMMIT when a ledger has been written: other transactions only read."""
        self._of_loads.append(arm)

    def disarm(self) -> None:
        """Forget every fault that has not happened."""
        super().__init__()
        self._of_loads.clear()


class WorldQueue(FakeQueue):
    """A queue that outlives its readers; tells when it becomes empty."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Journal())
        self.emptied = asyncio.Event()
        self.stirred = asyncio.Event()
        self.a_receive_max = MESSAGES_A_RECEIVE
        """Few, so that two readers get some each."""

    def put(self, *messages: Outgoing) -> None:
        """What a producer sends."""
        super().put(*messages)
        self.emptied.clear()
        self.stirred.set()

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete what the receipts still own."""
        strange = await super().delete(receipts)
        if not len(self):
            self.emptied.set()
        return strange

    def give_back(self) -> None:
        """Every message's visibility ends now."""
        for stored in self._stored.values():
            stored.visible_at = 0.0
        self.stirred.set()

    def _visible(self, now: float) -> list[_Stored]:
        return super()._visible(now)[: self.a_receive_max]


class LivingQueue:
    """A queue as one life sees it. Its long polls end with the life."""

    def __init__(self, queue: WorldQueue, life: Life) -> None:
        self.name = queue.name
        self._queue = queue
        self._life = life

    async def receive(self, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """Up to ten messages."""
        if self._life.died.is_set():
            raise Crash
        await asyncio.sleep(0)  # readers take turns
        found = await self._queue.receive(wait_seconds=0, visibility_seconds=visibility_seconds)
        if not found and not self._life.ending.is_set():
            self._queue.stirred.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._queue.stirred.wait()
        return found

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """A step."""
        with self._life.effect(f"{self.name} delete"):
            return await self._queue.delete(receipts)

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """A step."""
        with self._life.effect(f"{self.name} hide"):
            return await self._queue.hide(receipts, seconds)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """A step."""
        with self._life.effect(f"{self.name} send"):
            await self._queue.send(messages)

    async def depth(self) -> Depth:
        """Asking is no step."""
        return await self._queue.depth()


class LivingStore:
    """The store as one life sees it."""

    def __init__(self, store: ObjectStore, life: Life) -> None:
        self._store = store
        self._life = life

    async def put_new(self, uri: str, body: bytes) -> Stored:
        """A step."""
        with self._life.effect("put"):
            return await self._store.put_new(uri, body)

    async def describe(self, uri: str) -> Stored | None:
        """Reading is no step."""
        return await self._store.describe(uri)

    async def get(self, uri: str) -> bytes:
        """Reading is no step."""
        return await self._store.get(uri)

    async def remove(self, uris: Sequence[str]) -> None:
        """A step."""
        with self._life.effect("remove"):
            await self._store.remove(uris)

    def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """Reading is no step."""
        return self._store.pages(prefix)

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        """Reading is no step."""
        return await self._store.read(uri)

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        """A step."""
        with self._life.effect("replace"):
            return await self._store.replace(uri, body, etag=etag)
