"""Letters, copies, deletions: in that order, none of them twice, and none for what is not ours any more."""

import asyncio
from collections.abc import Sequence

import pytest

from service.core.dead_letter import DeadLetter
from service.core.errors import RejectedError, TransientError
from service.core.events import Event, MessagesDeferred, RecordsRejected
from service.core.layer import Outcome
from service.core.model import Held, Message, Outgoing
from service.intake.inflight import Inflight
from service.intake.settle import Queues, Reached, Settle
from tests.fakes.journal import Journal
from tests.fakes.queue import FakeQueue
from tests.fakes.time import LoopClock, run_virtual

VISIBILITY = 600
WRONG = RejectedError("bad_notice", "no")


class Letterbox:
    """Keeps letters."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        self.bodies += [letter.original.body for letter in letters if letter.original is not None]


class Desk:
    """Three messages received, and what settles them; the first is rejected, the second deferred."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.journal = Journal()
        self.queue = FakeQueue("refine", self.journal)
        self.letters = Letterbox()
        clock = LoopClock()
        emit = self.events.append
        self.inflight = Inflight("refine", self.queue, visibility_seconds=VISIBILITY, clock=clock, emit=emit)
        queues = Queues(self.queue, self.letters)
        self.settle = Settle("refine", queues, self.inflight, clock=clock, emit=emit)
        self.queue.put(Outgoing("bad"), Outgoing("later"), Outgoing("good"))
        self.messages: list[Message] = []

    async def receive(self) -> None:
        self.messages = await self.queue.receive(wait_seconds=1, visibility_seconds=VISIBILITY)
        self.inflight.claim(self.messages, 0.0)

    async def run(self, reached: Reached) -> None:
        bad, later, _ = (Held(message, None) for message in self.messages)
        await self.settle.run("d", self.messages, Outcome([(bad, WRONG)], [(later, 30.5)]), reached)


def test_letters_then_copies_then_the_deletion() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.receive()
        await desk.run(set())
        assert desk.letters.bodies == ["bad"]
        assert desk.queue.bodies == ["later"]
        assert desk.events == [MessagesDeferred("refine", "d", 1), RecordsRejected("refine", "d", "bad_notice", 1)]
        assert await desk.queue.receive(wait_seconds=29, visibility_seconds=1) == []
        assert len(await desk.queue.receive(wait_seconds=2, visibility_seconds=1)) == 1

    run_virtual(main())


def test_what_was_reached_is_not_done_again() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.receive()
        reached: Reached = set()
        delete = desk.queue.delete
        desk.queue.delete = _down  # type: ignore[method-assign]
        for _ in range(2):
            with pytest.raises(TransientError):
                await desk.run(reached)
        desk.queue.delete = delete  # type: ignore[method-assign]
        await desk.run(reached)
        assert desk.letters.bodies == ["bad"]
        assert desk.queue.bodies == ["later"]

    run_virtual(main())


def test_a_process_that_slept_sends_nothing_for_what_is_not_its_own() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.receive()
        await asyncio.sleep(VISIBILITY)
        await desk.run(set())
        assert desk.letters.bodies == []
        assert desk.queue.bodies == ["bad", "later", "good"]
        assert not any(isinstance(event, RecordsRejected) for event in desk.events)

    run_virtual(main())


async def _down(receipts: Sequence[str]) -> list[str]:
    raise TransientError("sqs", "no")


def test_what_was_sent_again_is_not_sent_once_more_when_a_later_call_fails() -> None:
    async def main() -> None:
        desk = Desk()
        desk.queue.put(*(Outgoing(str(number)) for number in range(20)))
        while batch := await desk.queue.receive(wait_seconds=0, visibility_seconds=VISIBILITY):
            desk.messages += batch
        desk.inflight.claim(desk.messages, 0.0)
        outcome: Outcome[None] = Outcome(deferred=[(Held(message, None), 30.0) for message in desk.messages])
        send, calls = desk.queue.send, list[int]()

        async def fails_at_the_third(messages: Sequence[Outgoing]) -> None:
            calls.append(len(messages))
            if 3 <= len(calls) <= 5:
                raise TransientError("sqs", "no")
            await send(messages)

        desk.queue.send = fails_at_the_third  # type: ignore[method-assign]
        reached: Reached = set()
        for _ in range(3):
            with pytest.raises(TransientError):
                await desk.settle.run("d", desk.messages, outcome, reached)
        await desk.settle.run("d", desk.messages, outcome, reached)
        assert sorted(desk.queue.bodies) == sorted(["bad", "later", "good", *map(str, range(20))])

    run_virtual(main())
