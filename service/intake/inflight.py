"""Messages that we hold: by when each must be settled, which need more time, and settling each exactly once.

An extension that the queue acknowledges after a message's visibility has ended does nothing (SQS answers OK all the
same), so our own monotonic deadline decides: a message past it is let go, because another process may have it.
Visibility can be extended to 12 hours from the receive, never further (SQS, ChangeMessageVisibility).

A message whose effects are in place and that the queue does not delete stays ours and is deleted again and again. If
it comes once more all the same, it is known and only deleted.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from service.core.errors import SetupError, TransientError
from service.core.events import ClaimsExpired, MessagesReleased, SettlementFailed
from service.core.model import Held, Message
from service.core.ports import Clock, Emit, Queue

VISIBILITY_SECONDS_CEILING = 12 * 3600 - 60
KEEPS_PER_VISIBILITY = 8
"""How often we look for claims that need more time, per visibility."""
EXTENDED_WITH_LEFT = 5 / 8
"""Of its visibility: with the time between two looks, each claim is extended before half of it has gone."""
REMEMBERED_MAX = 10_000
"""Ids of messages that are done and may come again: a megabyte or so."""


@dataclass(slots=True)
class _Claim:
    message_id: str
    received: float
    expires: float
    finished: bool = False


class Inflight:
    """The claims of one layer on its queue's messages."""

    def __init__(self, layer: str, queue: Queue, *, visibility_seconds: int, clock: Clock, emit: Emit) -> None:
        self._layer = layer
        self._queue = queue
        self._visibility_seconds = visibility_seconds
        self._clock = clock
        self._emit = emit
        self._claims: dict[str, _Claim] = {}
        self._finished_ids: dict[str, None] = {}
        """In the order in which they came, so that the oldest is forgotten first."""

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def keep_seconds(self) -> float:
        """How long after one `keep` the next is due."""
        return self._visibility_seconds / KEEPS_PER_VISIBILITY

    def claim(self, messages: Iterable[Message], asked: float) -> None:
        """Take responsibility for messages received by a call that began at `asked` (monotonic): the cautious start."""
        for message in messages:
            self._claims[message.receipt] = _Claim(message.message_id, asked, asked + self._visibility_seconds)

    def ours(self, message: Message) -> bool:
        """Whether we still answer for it."""
        claim = self._claims.get(message.receipt)
        return claim is not None and claim.expires > self._clock.monotonic()

    def holds(self, held: Iterable[Held[Any]]) -> bool:
        """Whether any of these is still ours: a process that slept for long finds that nothing is."""
        self.let_go_expired()
        return any(one.message.receipt in self._claims for one in held)

    def known(self, message: Message) -> bool:
        """Whether its effects are in place already, from an earlier receive: all it needs is to be deleted."""
        return message.message_id in self._finished_ids

    def let_go_expired(self) -> None:
        """Forget what is no longer ours; the work on it goes on and does no harm, but it is not settled by us."""
        now = self._clock.monotonic()
        expired = [receipt for receipt, claim in self._claims.items() if claim.expires <= now]
        self._forget(expired)
        if expired:
            self._emit(ClaimsExpired(self._layer, len(expired)))

    async def done(self, messages: Iterable[Message]) -> None:
        """Delete messages whose durable effects are in place, as far as they are still ours.

        What the queue does not delete is deleted again by `keep`. When the queue cannot be asked (TransientError,
        SetupError) nothing is settled, so that the caller can try again instead of working twice.
        """
        self.let_go_expired()
        await self._delete({one.receipt: one.message_id for one in messages if one.receipt in self._claims})

    async def keep(self) -> None:
        """Extend claims that need it, and delete what should have gone. Raises when the queue cannot be asked."""
        self.let_go_expired()
        await self._extend()
        await self._delete(self._finished())

    async def release_all(self) -> None:
        """Give everything that is still held back undone, to come again at once; delete what is done."""
        self.let_go_expired()
        finished = self._finished()
        undone = [receipt for receipt in self._claims if receipt not in finished]
        self._forget([*self._claims])
        async with asyncio.TaskGroup() as both:
            both.create_task(self._delete_last(finished))
            both.create_task(self._release(undone))

    async def _delete_last(self, finished: Mapping[str, str]) -> None:
        with suppress(TransientError, SetupError):
            await self._delete(finished)

    async def _release(self, undone: Sequence[str]) -> None:
        if not undone:
            return
        try:
            failed = len(await self._queue.hide(undone, 0))
        except (TransientError, SetupError):
            failed = len(undone)
        self._emit(MessagesReleased(self._layer, len(undone) - failed))
        if failed:
            self._emit(SettlementFailed(self._layer, "release", failed))

    async def _extend(self) -> None:
        now = self._clock.monotonic()
        until = now + self._visibility_seconds
        left = self._visibility_seconds * EXTENDED_WITH_LEFT
        stale = [
            receipt
            for receipt, claim in self._claims.items()
            if claim.expires - now <= left and until < claim.received + VISIBILITY_SECONDS_CEILING
        ]
        if not stale:
            return
        try:
            failed = set(await self._queue.hide(stale, self._visibility_seconds))
        except (TransientError, SetupError):
            self._emit(SettlementFailed(self._layer, "extend", len(stale)))
            raise
        self.let_go_expired()  # an answer that came too late proves nothing
        for receipt in stale:
            if receipt not in failed and receipt in self._claims:
                self._claims[receipt].expires = until
        if failed:
            self._emit(SettlementFailed(self._layer, "extend", len(failed)))

    def _finished(self) -> dict[str, str]:
        return {receipt: claim.message_id for receipt, claim in self._claims.items() if claim.finished}

    async def _delete(self, settled: Mapping[str, str]) -> None:
        """Delete by receipt; each with its message's id."""
        if not settled:
            return
        failed = set(await self._queue.delete([*settled]))
        for receipt in failed:
            self._remember(settled[receipt])
            if receipt in self._claims:
                self._claims[receipt].finished = True
        self._forget(receipt for receipt in settled if receipt in self._claims and receipt not in failed)
        if failed:
            self._emit(SettlementFailed(self._layer, "delete", len(failed)))

    def _remember(self, message_id: str) -> None:
        self._finished_ids[message_id] = None
        if len(self._finished_ids) > REMEMBERED_MAX:
            del self._finished_ids[next(iter(self._finished_ids))]

    def _forget(self, receipts: Iterable[str]) -> None:
        for receipt in receipts:
            del self._claims[receipt]


async def give_back(inflight: Inflight, seconds_max: float) -> None:
    """The last thing a stopping layer does, within its own limit, so that an unreachable queue cannot hold it."""
    try:
        async with asyncio.timeout(seconds_max):
            await inflight.release_all()
    except TimeoutError:
        return
