"""SQS in memory, for the `Queue` port: visibility by the loop's clock, receipts that expire, duplicates on demand."""

import asyncio
import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.core.model import Message, Outgoing
from service.core.ports import Depth
from tests.fakes.journal import Journal

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGES_A_RECEIVE = 10
INFLIGHT_MAX = 120_000
"""AWS: quotas of a standard queue. Beyond it a long poll brings nothing, and says nothing."""


@dataclass
class _Stored:
    message_id: str
    outgoing: Outgoing
    sent_at: datetime
    visible_at: float = 0.0
    receives: int = 0
    receipt: str = ""


class FakeQueue:
    """A standard queue: an older receipt neither deletes nor hides, and says nothing about it.

    One that was never handed out is refused.
    """

    def __init__(self, name: str, journal: Journal) -> None:
        self.name = name
        self._journal = journal
        self._stored: dict[str, _Stored] = {}
        self._handed_out: set[str] = set()
        self._numbers = itertools.count(1)
        self._arrived = asyncio.Event()
        self._deleted: list[_Stored] = []
        self._deadlines: dict[str, float] = {}
        """By receipt: when visibility ends, for all that its holder can know."""
        self.sent: dict[str, Outgoing] = {}
        """Everything that was ever sent here."""
        self.received: Counter[str] = Counter()
        """How often each message was received, also of those that are gone."""
        self.disorder: random.Random | None = None
        """In which order messages come; None keeps that of sending."""
        self.inflight_max = INFLIGHT_MAX
        self.old_receipts_work = False
        """Whether an older receipt deletes and hides all the same: SQS says that it may (AWS: DeleteMessage)."""
        self.dead: tuple[FakeQueue, int] | None = None
        """Where SQS itself moves what was received so often."""

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def bodies(self) -> list[str]:
        """Everything in the queue, visible or not, in the order of sending."""
        return [stored.outgoing.body for stored in self._stored.values()]

    @property
    def receives(self) -> dict[str, int]:
        """How often each message was received."""
        return {stored.message_id: stored.receives for stored in self._stored.values()}

    def put(self, *messages: Outgoing) -> None:
        """What a producer sends: no effect of ours."""
        for outgoing in messages:
            message_id = f"{self.name}-{next(self._numbers)}"
            visible_at = asyncio.get_running_loop().time() + outgoing.delay_seconds if outgoing.delay_seconds else 0.0
            self._stored[message_id] = _Stored(message_id, outgoing, _now(), visible_at)
            self.sent[message_id] = outgoing
        self._arrived.set()

    def redrive(self, source: "FakeQueue") -> int:
        """Move everything back to a source queue, where each is a new message with a new id (AWS: redrive)."""
        moved = [stored.outgoing for stored in self._stored.values()]
        self._stored.clear()
        source.put(*moved)
        return len(moved)

    def expire(self, receipts: Sequence[str]) -> None:
        """End the visibility of these early: others may have their messages now."""
        for stored in self._owned(receipts):
            stored.visible_at = asyncio.get_running_loop().time()
            self._deadlines.pop(stored.receipt, None)

    def overdue(self, receipts: Sequence[str]) -> list[str]:
        """Those by which nobody may do anything any more, because others may have their messages, and who held them
        could know. What ended early is nobody's fault.
        """
        now = asyncio.get_running_loop().time()
        return [receipt for receipt in receipts if self._deadlines.get(receipt, math.inf) <= now]

    def double(self) -> bool:
        """Have one message that somebody holds come again; whether there is one."""
        now = asyncio.get_running_loop().time()
        for stored in self._stored.values():
            if stored.visible_at > now:
                stored.visible_at = now
                self._deadlines.pop(stored.receipt, None)
                self._arrived.set()
                return True
        return False

    def undelete(self) -> bool:
        """Have the message that was deleted last come again (AWS: ReceiveMessage may); whether there is one."""
        if not self._deleted:
            return False
        stored = self._deleted.pop()
        stored.visible_at = 0.0
        self._deadlines.pop(stored.receipt, None)
        self._stored[stored.message_id] = stored
        self._arrived.set()
        return True

    def take(self) -> list[str]:
        """Everything, gone from the queue: for a test to look at and put back as it likes."""
        bodies = self.bodies
        self._stored.clear()
        return bodies

    async def receive(self, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """Up to ten visible messages; waits for the first, like a long poll."""
        self._journal.before(f"{self.name} receive")
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        while not (found := self._visible(loop.time())) and loop.time() < until:
            self._arrived.clear()
            soonest = min((s.visible_at for s in self._stored.values() if s.visible_at > loop.time()), default=until)
            try:
                async with asyncio.timeout_at(max(min(soonest, until), loop.time() + 0.001)):
                    await self._arrived.wait()
            except TimeoutError:
                continue
        return [self._hand_out(stored, loop.time() + visibility_seconds) for stored in found]

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete what the receipts still own."""
        with self._journal.act(f"{self.name} delete {len(receipts)}") as done:
            for stored in self._owned(receipts):
                del self._stored[stored.message_id]
                self._deadlines.pop(stored.receipt, None)
                self._deleted.append(stored)
                done.append(stored.message_id)
            self._arrived.set()
        return self._strange(receipts)

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Change visibility; on a receipt that has expired it says OK and does nothing, as SQS does."""
        with self._journal.act(f"{self.name} hide {len(receipts)} for {seconds}") as done:
            now = asyncio.get_running_loop().time()
            for stored in self._owned(receipts):
                if stored.visible_at > now:
                    stored.visible_at = now + seconds
                    self._extended(stored, receipts)
                    done.append(stored.message_id)
            self._arrived.set()
        return self._strange(receipts)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Take all messages."""
        with self._journal.act(f"{self.name} send {len(messages)}") as done:
            known = len(self.sent)
            self.put(*messages)
            done.extend(list(self.sent)[known:])

    async def depth(self) -> Depth:
        """What SQS would say, exactly."""
        self._journal.before(f"{self.name} depth")
        now = asyncio.get_running_loop().time()
        waiting = sum(stored.visible_at <= now for stored in self._stored.values())
        return Depth(waiting, sum(stored.visible_at > now and stored.receives > 0 for stored in self._stored.values()))

    def _visible(self, now: float) -> list[_Stored]:
        self._bury(now)
        found = [stored for stored in self._stored.values() if stored.visible_at <= now]
        room = self.inflight_max - (len(self._stored) - len(found))
        if self.disorder is not None:
            self.disorder.shuffle(found)
        return found[: max(0, min(room, MESSAGES_A_RECEIVE))]

    def _bury(self, now: float) -> None:
        """Move away what was received too often."""
        if self.dead is None:
            return
        queue, receives_max = self.dead
        for stored in [s for s in self._stored.values() if s.visible_at <= now and s.receives >= receives_max]:
            del self._stored[stored.message_id]
            queue.put(stored.outgoing)
            queue.count_on(stored.receives)

    def count_on(self, receives: int) -> None:
        """The message that came last was received so often elsewhere: SQS counts on (AWS: ReceiveMessage)."""
        next(reversed(self._stored.values())).receives = receives

    def _hand_out(self, stored: _Stored, visible_at: float) -> Message:
        stored.visible_at = visible_at
        stored.receives += 1
        self.received[stored.message_id] += 1
        stored.receipt = f"{stored.message_id}#{stored.receives}"
        self._deadlines[stored.receipt] = visible_at
        self._handed_out.add(stored.receipt)
        return Message(
            message_id=stored.message_id,
            body=stored.outgoing.body,
            attributes=stored.outgoing.attributes,
            sent_at=stored.sent_at,
            received_at=_now(),
            receive_count=stored.receives,
            receipt=stored.receipt,
        )

    def _extended(self, stored: _Stored, receipts: Sequence[str]) -> None:
        """An older receipt may move a deadline too, of which the holder of the present one hears nothing."""
        if stored.receipt in receipts:
            self._deadlines[stored.receipt] = stored.visible_at
        else:
            self._deadlines.pop(stored.receipt, None)

    def _owned(self, receipts: Sequence[str]) -> list[_Stored]:
        wanted = set(receipts)
        if self.old_receipts_work:
            ids = {receipt.partition("#")[0] for receipt in wanted & self._handed_out}
            return [stored for stored in self._stored.values() if stored.message_id in ids]
        return [stored for stored in self._stored.values() if stored.receipt in wanted]

    def _strange(self, receipts: Sequence[str]) -> list[str]:
        return [receipt for receipt in receipts if receipt not in self._handed_out]


def _now() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())
