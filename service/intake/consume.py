"""The loop every layer shares: receive → sort → pile up → seal → handle → settle.

Durable effects, in this order: what the layer's `handle` does → dead letters sent for what it rejected → what it
deferred sent again → messages deleted. A crash between any two means that the messages come again and the same work is
repeated; every layer's work is harmless to repeat. A message is rejected only after its dead letter is confirmed.
"""

import asyncio
import itertools
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from service.core.batching import BatchLimits
from service.core.dead_letter import rejected_message
from service.core.errors import RejectedError, SetupError, TransientError
from service.core.events import BatchClosed, BatchFinished, MessagesDeferred, MessagesReceived, RecordsRejected
from service.core.layer import Layer, Outcome
from service.core.model import Batch, Held, Message, Outgoing, utf8_bytes
from service.core.ports import Clock, Emit, Letters, Queue
from service.core.retry import Backoff
from service.intake.budget import Budget
from service.intake.busy import Busy
from service.intake.crowd import Crowd
from service.intake.gather import Gather
from service.intake.inflight import Inflight, give_back
from service.intake.trouble import Trouble

T = TypeVar("T")

RELEASE_SECONDS_MAX = 5.0
DELAY_SECONDS_MAX = 900
"""SQS's own limit."""
MESSAGES_A_RECEIVE_MAX = 10


@dataclass(frozen=True, slots=True)
class Queues:
    """A layer's queue, and the way to the dead-letter queue behind it."""

    work: Queue
    letters: Letters


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How a layer receives. `batches_max` are worked on side by side; `messages_max` are held at the most.

    `one_at_a_time` allows a key one batch under way; what arrives meanwhile forms its next batch, which begins at
    least `interval_seconds` after the last one began.
    """

    batch: BatchLimits
    one_at_a_time: bool
    interval_seconds: float
    pollers: int
    poll_seconds: int
    visibility_seconds: int
    batches_max: int
    messages_max: int
    backoff: Backoff


class Intake(Generic[T]):
    """One layer at its queue. `run` returns when `drain` was asked for and everything held is settled."""

    def __init__(
        self,
        layer: Layer[T],
        queues: Queues,
        *,
        limits: IntakeLimits,
        budget: Budget,
        busy: Busy,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._layer = layer
        self._queues = queues
        self._limits = limits
        self._budget = budget
        self._busy = busy
        self._clock = clock
        self._emit = emit
        self._gather: Gather[T] = Gather(
            limits.batch, one_at_a_time=limits.one_at_a_time, interval_seconds=limits.interval_seconds
        )
        self._inflight = Inflight(
            layer.name, queues.work, visibility_seconds=limits.visibility_seconds, clock=clock, emit=emit
        )
        budget.include(self._inflight)
        self._crowd = Crowd(layer.name, queues.work, clock=clock, emit=emit)
        self._draining = asyncio.Event()
        self._trouble = Trouble(layer.name, backoff=limits.backoff, draining=self._draining, clock=clock, emit=emit)
        self._arrived = asyncio.Event()
        """Wakes the dispatcher: something arrived, or a batch ended."""
        self._settled = asyncio.Event()
        """Wakes pollers that found no room."""
        self._received_all = False
        self._batches = itertools.count(1)
        """Numbers batches: two of the same messages, received twice at once, have the same id."""

    def drain(self) -> None:
        """Receive no more; seal, handle and settle what is held, then let `run` return."""
        self._draining.set()
        self._settled.set()

    async def run(self) -> None:
        """Receive and hand on until drained, then give back what could not be done; also when cancelled.

        Giving back comes last, when no poll is under way that would receive the same messages again.
        """
        try:
            async with asyncio.TaskGroup() as side:
                keeper = side.create_task(self._inflight.keep(), name=f"{self._layer.name} keeper")
                dispatcher = side.create_task(self._dispatch(), name=f"{self._layer.name} dispatcher")
                async with asyncio.TaskGroup() as polls:
                    for number in range(self._limits.pollers):
                        polls.create_task(self._poll(number), name=f"{self._layer.name} poller {number}")
                self._received_all = True
                self._arrived.set()
                await dispatcher
                keeper.cancel()
        finally:
            await give_back(self._inflight, RELEASE_SECONDS_MAX)

    async def _poll(self, number: int) -> None:
        while not self._draining.is_set():
            self._settled.clear()
            if number not in self._trouble and not self._room():
                await _wait(self._settled, self._limits.poll_seconds)
                continue
            asked = self._clock.monotonic()
            try:
                messages = await self._queues.work.receive(
                    wait_seconds=self._limits.poll_seconds, visibility_seconds=self._limits.visibility_seconds
                )
            except (TransientError, SetupError) as down:
                await self._trouble.wait(number, down)
                continue
            self._trouble.over(number)
            if not messages and await self._crowd.empty_poll():
                self._arrived.set()
            if messages:
                self._inflight.claim(messages, asked)
                await self._take(messages)
        self._trouble.over(number)

    def _room(self) -> bool:
        held_after = len(self._inflight) + MESSAGES_A_RECEIVE_MAX * self._limits.pollers
        return not self._trouble and not self._budget.full() and held_after <= self._limits.messages_max

    async def _take(self, messages: Sequence[Message]) -> None:
        now = self._clock.monotonic()
        self._emit(_received(self._layer.name, messages))
        rejected: list[tuple[Message, RejectedError]] = []
        for message in messages:
            try:
                self._gather.add(message, self._layer.sort(message), now)
            except RejectedError as wrong:
                rejected.append((message, wrong))
        self._arrived.set()
        work, told = ("reject", messages[0].receipt), False
        while rejected:  # ends with the letters sent, or left for `run` to give back because we stop
            try:
                if not told:
                    await self._reject("", rejected)
                    told = True
                await self._inflight.done([message.receipt for message, _ in rejected])
                self._count_rejected("", [wrong for _, wrong in rejected])
                break
            except (TransientError, SetupError) as down:
                if self._draining.is_set():
                    break
                await self._trouble.wait(work, down)
        self._trouble.over(work)

    async def _dispatch(self) -> None:
        running: dict[asyncio.Task[None], int] = {}

        def free() -> bool:
            """A batch that waits for its own dataset's sake takes nobody's place."""
            return (
                sum(not self._trouble.of_dataset(("batch", number)) for number in running.values())
                < self._limits.batches_max
            )

        async with asyncio.TaskGroup() as batches:
            while self._gather or running or not self._received_all:
                self._arrived.clear()
                while free() and (batch := self._seal(idle=not running)):
                    number = next(self._batches)
                    task = batches.create_task(self._work(batch, number), name=f"{self._layer.name} batch {number}")
                    running[task] = number
                    task.add_done_callback(running.pop)
                    task.add_done_callback(lambda _: self._arrived.set())
                due = self._gather.due_at() if free() else None
                await _wait(self._arrived, None if due is None else max(0.0, due - self._clock.monotonic()))

    def _seal(self, *, idle: bool) -> Batch[T] | None:
        stuck = idle and not self._trouble and not self._room()
        hurry: Literal["drain", "memory", "crowd"] | None = None
        if self._received_all or stuck or self._crowd.close_sooner:
            hurry = "drain" if self._received_all else "memory" if stuck else "crowd"
        sealed = self._gather.seal(self._clock.monotonic(), hurry=hurry)
        if sealed is None:
            self._crowd.close_sooner = False
            return None
        key, reason, waiting = sealed
        size_bytes = sum(one.size_bytes for one in waiting)
        self._emit(BatchClosed(self._layer.name, key, reason, len(waiting), size_bytes))
        return Batch(key, [one.value for one in waiting], reason, self._clock.now(), size_bytes)

    async def _work(self, batch: Batch[T], number: int) -> None:
        began = self._clock.monotonic()
        outcome: Outcome[T] | None = None
        reached: set[str] = set()
        try:
            while self._inflight.holds(batch.held):  # ends with the batch settled, expired, or left because we stop
                try:
                    with self._busy:
                        outcome = outcome or await self._layer.handle(batch)
                        await self._settle(batch, outcome, reached)
                    break
                except (TransientError, SetupError) as down:
                    if self._draining.is_set():
                        return
                    self._arrived.set()
                    await self._trouble.wait(("batch", number), down)
            else:
                return  # nothing of it is ours any more: whoever has it now does it
        finally:
            self._gather.finished(batch.key)
            self._trouble.over(("batch", number))
            self._settled.set()
        self._emit(BatchFinished(self._layer.name, batch.key, len(batch.held), self._clock.monotonic() - began))

    async def _settle(self, batch: Batch[T], outcome: Outcome[T], reached: set[str]) -> None:
        """Letters, then what is deferred, then the deletion; what was reached before is not done again."""
        if "letters" not in reached:
            await self._reject(batch.key, [(held.message, wrong) for held, wrong in outcome.rejected])
            reached.add("letters")
        if "deferred" not in reached:
            await self._defer(batch.key, outcome.deferred)
            reached.add("deferred")
        await self._inflight.done([held.message.receipt for held in batch.held])
        self._count_rejected(batch.key, [wrong for _, wrong in outcome.rejected])

    async def _defer(self, dataset: str, deferred: Sequence[tuple[Held[T], float]]) -> None:
        """Send again, to come later as new messages: so waiting costs no message a receive."""
        if not deferred:
            return
        again = [
            Outgoing(held.message.body, held.message.attributes, min(DELAY_SECONDS_MAX, math.ceil(seconds)))
            for held, seconds in deferred
        ]
        await self._queues.work.send(again)
        self._emit(MessagesDeferred(self._layer.name, dataset, len(deferred)))

    async def _reject(self, dataset: str, rejected: Sequence[tuple[Message, RejectedError]]) -> None:
        """Send the letters of what was rejected whole."""
        if not rejected:
            return
        now = self._clock.now()
        letters = [rejected_message(self._layer.name, dataset, message, wrong, now) for message, wrong in rejected]
        await self._queues.letters.send(letters)

    def _count_rejected(self, dataset: str, wrongs: Iterable[RejectedError]) -> None:
        for wrong in wrongs:
            self._emit(RecordsRejected(self._layer.name, dataset, wrong.code, 1))


def _received(layer: str, messages: Sequence[Message]) -> MessagesReceived:
    age_seconds = max((message.received_at - message.sent_at).total_seconds() for message in messages)
    return MessagesReceived(layer, len(messages), sum(utf8_bytes(m.body) for m in messages), max(0.0, age_seconds))


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event or that long, whichever is first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
