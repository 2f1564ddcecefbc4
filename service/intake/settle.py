"""Settling a batch: what was rejected gets its dead letter, what is deferred is sent again, then all is deleted.

Durable effects, in this order: dead letters sent → deferred messages sent again → messages deleted.

    dies after the letters      the messages come again, and with them the same letters: one `error_id`
    dies after the sending      the messages come again beside their copies; working on both is harmless

A process that slept sends nothing for a message that is not its own any more: whoever has it now does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.core.dead_letter import rejected_message
from service.core.errors import RejectedError
from service.core.events import MessagesDeferred, RecordsRejected
from service.core.layer import Outcome
from service.core.model import Message, Outgoing
from service.core.ports import Clock, Emit, Letters, Queue
from service.intake.inflight import Inflight

T = TypeVar("T")

DELAY_SECONDS_MAX = 900
"""SQS's own limit."""

SENT_TOGETHER = 10
"""A call's worth (AWS: SendMessageBatch)."""

Reached = set[str]
"""Steps that need not be done again when settling is tried again, and receipts of what was sent again already."""


@dataclass(frozen=True, slots=True)
class Queues:
    """A layer's queue, and the way to the dead-letter queue behind it."""

    work: Queue
    letters: Letters


class Settle:
    """The end of every piece of work of one layer."""

    def __init__(self, layer: str, queues: Queues, inflight: Inflight, *, clock: Clock, emit: Emit) -> None:
        self._layer = layer
        self._queues = queues
        self._inflight = inflight
        self._clock = clock
        self._emit = emit

    async def run(self, dataset: str, messages: Sequence[Message], outcome: Outcome[T], reached: Reached) -> None:
        """Settle messages of which this became. Raises TransientError or SetupError; then try again with `reached`."""
        if "letters" not in reached:
            await self._reject(dataset, outcome)
            reached.add("letters")
        if "deferred" not in reached:
            await self._defer(dataset, outcome, reached)
            reached.add("deferred")
        rejected = [wrong for _, wrong in self._rejected(outcome)]
        await self._inflight.done(messages)
        for wrong in rejected:
            self._emit(RecordsRejected(self._layer, dataset, wrong.code, 1))

    def _rejected(self, outcome: Outcome[T]) -> list[tuple[Message, RejectedError]]:
        return [(held.message, wrong) for held, wrong in outcome.rejected if self._inflight.ours(held.message)]

    async def _reject(self, dataset: str, outcome: Outcome[T]) -> None:
        now = self._clock.now()
        letters = [rejected_message(self._layer, dataset, *one, now) for one in self._rejected(outcome)]
        if letters:
            await self._queues.letters.send(letters)

    async def _defer(self, dataset: str, outcome: Outcome[T], reached: Reached) -> None:
        """Send again, to come later as new messages: so waiting costs no message a receive.

        Few at a time, because what was sent before a call that fails must not be sent once more.
        """
        left = [one for one in outcome.deferred if one[0].message.receipt not in reached]
        for start in range(0, len(left), SENT_TOGETHER):
            ours = [one for one in left[start : start + SENT_TOGETHER] if self._inflight.ours(one[0].message)]
            again = [_later(held.message, seconds) for held, seconds in ours]
            if again:
                await self._queues.work.send(again)
                self._emit(MessagesDeferred(self._layer, dataset, len(again)))
            reached.update(held.message.receipt for held, _ in ours)


def _later(message: Message, seconds: float) -> Outgoing:
    return Outgoing(message.body, message.attributes, min(DELAY_SECONDS_MAX, math.ceil(seconds)))
