"""Messages that we hold: by when each must be settled, which need more time, and settling each exactly once.

An extension that the queue acknowledges after a message's visibility has ended does nothing (SQS answers OK all the
same), so our own monotonic deadline decides: a message past it is let go, because another process may have it.
Visibility can be extended to 12 hours from the receive, never further (SQS, ChangeMessageVisibility).
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from service.core.errors import SetupError, TransientError
from service.core.events import ClaimsExpired, MessagesReleased, SettlementFailed
from service.core.model import Held, Message, utf8_bytes
from service.core.ports import Clock, Emit, Queue

VISIBILITY_SECONDS_CEILING = 12 * 3600 - 60
KEEPS_PER_VISIBILITY = 4
"""How often we look for claims that need more time, per visibility: each is extended once half of it has gone."""


@dataclass(slots=True)
class _Claim:
    received: float
    expires: float
    body_bytes: int


class Inflight:
    """The claims of one layer on its queue's messages."""

    def __init__(self, layer: str, queue: Queue, *, visibility_seconds: int, clock: Clock, emit: Emit) -> None:
        self._layer = layer
        self._queue = queue
        self._visibility_seconds = visibility_seconds
        self._clock = clock
        self._emit = emit
        self._claims: dict[str, _Claim] = {}
        self.body_bytes = 0

    def __len__(self) -> int:
        return len(self._claims)

    def claim(self, messages: Iterable[Message], asked: float) -> None:
        """Take responsibility for messages received by a call that began at `asked` (monotonic): the cautious start."""
        for message in messages:
            size = utf8_bytes(message.body)
            self._claims[message.receipt] = _Claim(asked, asked + self._visibility_seconds, size)
            self.body_bytes += size

    def holds(self, held: Iterable[Held[Any]]) -> bool:
        """Whether any of these is still ours: a process that slept for long finds that nothing is."""
        self.let_go_expired()
        return any(one.message.receipt in self._claims for one in held)

    def let_go_expired(self) -> None:
        """Forget what is no longer ours; the work on it goes on and does no harm, but it is not settled by us."""
        now = self._clock.monotonic()
        expired = [receipt for receipt, claim in self._claims.items() if claim.expires <= now]
        self._forget(expired)
        if expired:
            self._emit(ClaimsExpired(self._layer, len(expired)))

    async def done(self, receipts: Sequence[str]) -> None:
        """Delete messages whose durable effects are in place.

        What the queue does not delete comes again and does no harm. When the queue cannot be asked (TransientError,
        SetupError) the messages stay ours, so that the caller can try again instead of working twice.
        """
        self.let_go_expired()
        ours = [receipt for receipt in receipts if receipt in self._claims]
        failed = len(await self._queue.delete(ours)) if ours else 0
        self._forget(receipt for receipt in ours if receipt in self._claims)
        if failed:
            self._emit(SettlementFailed(self._layer, "delete", failed))

    async def release_all(self) -> None:
        """Give everything that is still held back undone, to come again at once."""
        self.let_go_expired()
        ours = list(self._claims)
        self._forget(ours)
        if not ours:
            return
        try:
            failed = len(await self._queue.hide(ours, 0))
        except (TransientError, SetupError):
            failed = len(ours)
        self._emit(MessagesReleased(self._layer, len(ours) - failed))
        if failed:
            self._emit(SettlementFailed(self._layer, "release", failed))

    async def keep(self) -> None:
        """Extend claims until cancelled: endless because a layer holds messages for as long as it lives."""
        while True:
            await self._clock.sleep(self._visibility_seconds / KEEPS_PER_VISIBILITY)
            self.let_go_expired()
            await self._extend()

    async def _extend(self) -> None:
        now = self._clock.monotonic()
        stale = [
            receipt for receipt, claim in self._claims.items() if claim.expires - now < self._visibility_seconds / 2
        ]
        stale = [
            r for r in stale if now + self._visibility_seconds < self._claims[r].received + VISIBILITY_SECONDS_CEILING
        ]
        if not stale:
            return
        try:
            failed = set(await self._queue.hide(stale, self._visibility_seconds))
        except (TransientError, SetupError):
            failed = set(stale)
        self.let_go_expired()  # an answer that came too late proves nothing
        for receipt in stale:
            if receipt not in failed and receipt in self._claims:
                self._claims[receipt].expires = now + self._visibility_seconds
        if failed:
            self._emit(SettlementFailed(self._layer, "extend", len(failed)))

    def _forget(self, receipts: Iterable[str]) -> None:
        for receipt in receipts:
            self.body_bytes -= self._claims.pop(receipt).body_bytes


async def give_back(inflight: Inflight, seconds_max: float) -> None:
    """The last thing a stopping layer does, within its own limit, so that an unreachable queue cannot hold it."""
    try:
        async with asyncio.timeout(seconds_max):
            await inflight.release_all()
    except TimeoutError:
        return
