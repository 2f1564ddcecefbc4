"""Several processes on one store and one topic, one call at a time, in an order that the test chooses."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from service.core.ports import Listed, Notifier
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore

QUIET_ROUNDS = 8
"""Turns of the event loop after which a process that makes no call is at rest."""


class Turns:
    """Who may make the next call. Open, everybody may."""

    def __init__(self) -> None:
        self.open = False
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def mine(self, process: int) -> None:
        """Wait for one's turn."""
        if not self.open:
            turn = asyncio.Event()
            self._waiting.append((process, turn))
            await turn.wait()

    async def waiting(self) -> list[int]:
        """The processes that are about to make a call, when all others are at rest."""
        for _ in range(QUIET_ROUNDS):
            await asyncio.sleep(0)
        return sorted({process for process, _ in self._waiting})

    def give(self, process: int) -> None:
        """Let that process make its call."""
        first = next(entry for entry in self._waiting if entry[0] == process)
        self._waiting.remove(first)
        first[1].set()

    def free(self) -> None:
        """Let everybody go on."""
        self.open = True
        for _, turn in self._waiting:
            turn.set()
        self._waiting.clear()


class TurnStore(FakeStore):
    """A process's way to a store that others have too."""

    def __init__(self, store: FakeStore, journal: Journal, turns: Turns, process: int) -> None:
        super().__init__(journal)
        self.objects, self.stored_at = store.objects, store.stored_at
        self._turns = turns
        self._process = process

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """In turn."""
        await self._turns.mine(self._process)
        async for page in super().pages(prefix):
            yield page

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        """In turn."""
        await self._turns.mine(self._process)
        return await super().read(uri)

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        """In turn."""
        await self._turns.mine(self._process)
        return await super().replace(uri, body, etag=etag)


class TurnNotifier:
    """A process's way to the topic. Its answer is a turn of its own."""

    def __init__(self, notifier: Notifier, turns: Turns, process: int) -> None:
        self._notifier = notifier
        self._turns = turns
        self._process = process

    async def publish(self, subject: str, text: str) -> None:
        """In turn."""
        await self._turns.mine(self._process)
        await self._notifier.publish(subject, text)
        await self._turns.mine(self._process)
