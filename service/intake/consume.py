"""The loop every layer shares: receive → sort → pile up → seal → handle → settle.

Durable effects, in this order: what the layer's `handle` does → those of `settle.py`, the deletion of the messages
last. A crash between any two means that the messages come again and the same work is repeated; every layer's work is
harmless to repeat. A message is rejected only after its dead letter is confirmed.
"""

import asyncio
import itertools
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from service.core.batching import BatchLimits
from service.core.clock import Deadline
from service.core.errors import DatasetSetupError, RejectedError, SetupError, TransientError
from service.core.events import BatchClosed, BatchFinished, BatchLeft, MessagesReceived, QueueEmpty
from service.core.layer import Layer, Outcome
from service.core.model import Batch, Held, Message, utf8_bytes
from service.core.ports import Clock, Emit
from service.core.retry import Backoff
from service.intake.budget import Budget
from service.intake.busy import Busy
from service.intake.crowd import Crowd
from service.intake.gather import Gather
from service.intake.inflight import Inflight, give_back
from service.intake.settle import Queues, Reached, Settle
from service.intake.stopping import Stopping
from service.intake.trouble import Trouble

T = TypeVar("T")

RELEASE_SECONDS_MAX = 4.0
RELEASE_AT_ONCE_SECONDS = 1.0
"""When somebody insists."""
MESSAGES_A_RECEIVE_MAX = 10
DEFERRED_SECONDS = 300.0
"""Messages of a dataset that waits for an operator are sent again with that delay, where they take the others' room."""


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
    """One layer at its queue. `run` returns after `drain`, with everything that it held settled or given back."""

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
        self._settle = Settle(layer.name, queues, self._inflight, clock=clock, emit=emit)
        self._crowd = Crowd(layer.name, queues.work, clock=clock, emit=emit)
        self._stopping = Stopping()
        self._trouble = Trouble(
            layer.name, backoff=limits.backoff, draining=self._stopping.asked, clock=clock, emit=emit
        )
        self._arrived = asyncio.Event()
        """Wakes the dispatcher: something arrived, or a batch ended."""
        self._settled = asyncio.Event()
        """Wakes pollers that found no room."""
        self._pollers: list[asyncio.Task[None]] = []
        self._received_all = False
        self._batches = itertools.count(1)
        """Numbers batches: two of the same messages, received twice at once, have the same id."""

    def drain(self, deadline: Deadline) -> None:
        """Receive no more; seal, handle and settle what can be by then, then let `run` return."""
        self._stopping.ask(deadline)
        self._settled.set()
        self._arrived.set()

    async def run(self) -> None:
        """Receive and hand on until drained, then give back what could not be done; also when cancelled.

        Giving back comes last, when no poll is under way that would receive the same messages again.
        """
        release_seconds = RELEASE_SECONDS_MAX
        try:
            async with asyncio.TaskGroup() as side:
                keeper = side.create_task(self._keep(), name=f"{self._layer.name} keeper")
                dispatcher = side.create_task(self._dispatch(), name=f"{self._layer.name} dispatcher")
                async with asyncio.TaskGroup() as polls:
                    for number in range(self._limits.pollers):
                        poller = polls.create_task(self._poll(number), name=f"{self._layer.name} poller {number}")
                        self._pollers.append(poller)
                self._received_all = True
                self._arrived.set()
                await dispatcher
                keeper.cancel()
        except asyncio.CancelledError:
            release_seconds = RELEASE_AT_ONCE_SECONDS
            raise
        finally:
            await give_back(self._inflight, release_seconds)

    async def _poll(self, number: int) -> None:
        while not self._stopping.asked.is_set():
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
            if messages:
                self._inflight.claim(messages, asked)
                self._budget.take(messages)
                await self._take(messages)
            else:
                self._emit(QueueEmpty(self._layer.name))
            if await self._crowd.look(empty=not messages):
                self._arrived.set()
        self._trouble.over(number)

    def _room(self) -> bool:
        held_after = len(self._inflight) + MESSAGES_A_RECEIVE_MAX * self._limits.pollers
        return not self._trouble and not self._budget.full() and held_after <= self._limits.messages_max

    async def _keep(self) -> None:
        """Keep what is held for as long as it is: a queue that cannot be asked stops the layer's receiving too."""
        work = "keeper"
        while True:
            try:
                await self._inflight.keep()
                self._trouble.over(work)
            except (TransientError, SetupError) as down:
                if not self._stopping.asked.is_set():
                    await self._trouble.wait(work, down)
                    continue
            await self._clock.sleep(self._inflight.keep_seconds)

    def _cramped(self) -> bool:
        """Whether there is no room, although nothing is down: then what waits for its own dataset takes it away."""
        return not self._trouble and not self._room()

    async def _take(self, messages: Sequence[Message]) -> None:
        now = self._clock.monotonic()
        self._emit(_received(self._layer.name, messages))
        known = [message for message in messages if self._inflight.known(message)]
        rejected: list[tuple[Held[None], RejectedError]] = []
        for message in messages:
            if message in known:
                continue
            try:
                self._gather.add(message, self._layer.sort(message), now)
            except RejectedError as wrong:
                rejected.append((Held(message, None), wrong))
        self._arrived.set()
        if known or rejected:
            await self._turn_away([*known, *(held.message for held, _ in rejected)], Outcome(rejected))

    async def _turn_away(self, messages: Sequence[Message], outcome: Outcome[None]) -> None:
        """Settle what belongs to no pile: what is done already, and what is rejected."""
        work = ("turn away", messages[0].receipt)
        reached: Reached = set()
        while any(self._inflight.ours(message) for message in messages):
            try:
                await self._settle.run("", messages, outcome, reached)
                break
            except (TransientError, SetupError) as down:
                if self._stopping.asked.is_set():
                    break  # `run` gives them back
                await self._trouble.wait(work, down)
        self._trouble.over(work)
        self._budget.free(messages)

    async def _dispatch(self) -> None:
        running: dict[asyncio.Task[None], int] = {}

        def free() -> bool:
            """A batch that waits for its own dataset's sake takes nobody's place."""
            return (
                sum(not self._trouble.of_dataset(("batch", number)) for number in running.values())
                < self._limits.batches_max
            )

        async with asyncio.TaskGroup() as batches:
            while running or self._more():
                self._arrived.clear()
                while free() and self._more() and (batch := self._seal(idle=not running)):
                    number = next(self._batches)
                    task = batches.create_task(self._work(batch, number), name=f"{self._layer.name} batch {number}")
                    running[task] = number
                    task.add_done_callback(running.pop)
                    task.add_done_callback(lambda _: self._arrived.set())
                due = self._gather.due_at() if free() and self._more() else None
                due_seconds = math.inf if due is None else max(0.0, due - self._clock.monotonic())
                left = self._stopping.let_go_seconds()
                if not left:
                    for task in [*running, *self._pollers]:  # a poll that still runs hangs, and swallows nothing
                        task.cancel()
                    break
                await _wait(self._arrived, min(due_seconds, left))

    def _more(self) -> bool:
        """Whether batches may still begin: until everything is sealed, or none would end in time."""
        return not self._received_all or (bool(self._gather) and self._stopping.worth_beginning())

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
        messages = [held.message for held in batch.held]
        outcome: Outcome[T] | None = None
        reached: Reached = set()
        try:
            while self._inflight.holds(batch.held):  # ends with the batch settled, expired, or left because we stop
                try:
                    with self._busy:
                        outcome = outcome or await self._layer.handle(batch)
                        await self._settle.run(batch.key, messages, outcome, reached)
                    break
                except (TransientError, SetupError) as down:
                    if self._stopping.asked.is_set():
                        return
                    self._arrived.set()
                    if isinstance(down, DatasetSetupError) and self._cramped():
                        outcome = Outcome(deferred=[(held, DEFERRED_SECONDS) for held in batch.held])
                        continue
                    await self._trouble.wait(("batch", number), down)
            else:
                return  # nothing of it is ours any more: whoever has it now does it
        except asyncio.CancelledError:
            self._emit(BatchLeft(self._layer.name, batch.key, len(messages)))
            raise
        finally:
            self._gather.finished(batch.key)
            self._trouble.over(("batch", number))
            self._budget.free(messages)
            self._settled.set()
        seconds = self._clock.monotonic() - began
        self._stopping.took(seconds)
        self._emit(BatchFinished(self._layer.name, batch.key, len(messages), seconds))


def _received(layer: str, messages: Sequence[Message]) -> MessagesReceived:
    age_seconds = max((message.received_at - message.sent_at).total_seconds() for message in messages)
    return MessagesReceived(layer, len(messages), sum(utf8_bytes(m.body) for m in messages), max(0.0, age_seconds))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event or that long, whichever is first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None if seconds == math.inf else seconds):
            await event.wait()
