"""What is ours, until when, and what the queue did not delete."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from service.core.errors import TransientError
from service.core.events import Event, MessagesReleased, SettlementFailed
from service.core.model import Message, Outgoing
from service.intake.inflight import REMEMBERED_MAX, Inflight
from tests.fakes.journal import Journal
from tests.fakes.queue import FakeQueue
from tests.fakes.time import LoopClock, run_virtual

VISIBILITY = 600


class Failing(FakeQueue):
    """Deletes nothing while `refuses`, and cannot be asked to hide while `away`."""

    def __init__(self) -> None:
        super().__init__("records", Journal())
        self.refuses = self.away = False
        self.hidden: list[tuple[float, int]] = []

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        return list(receipts) if self.refuses else await super().delete(receipts)

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        if self.away:
            raise TransientError("sqs", "no")
        self.hidden.append((asyncio.get_running_loop().time(), seconds))
        return await super().hide(receipts, seconds)


def on(scenario: Callable[[Failing, Inflight, list[Message]], Awaitable[None]]) -> list[Event]:
    """Run with two messages claimed; returns what telemetry heard."""
    events: list[Event] = []

    async def main() -> None:
        queue = Failing()
        queue.put(Outgoing("1"), Outgoing("2"))
        inflight = Inflight("land", queue, visibility_seconds=VISIBILITY, clock=LoopClock(), emit=events.append)
        messages = await queue.receive(wait_seconds=1, visibility_seconds=VISIBILITY)
        inflight.claim(messages, 0.0)
        await scenario(queue, inflight, messages)

    run_virtual(main())
    return events


def test_a_claim_is_extended_before_half_of_its_time_has_gone() -> None:
    async def scenario(queue: Failing, inflight: Inflight, messages: list[Message]) -> None:
        for _ in range(20):
            await inflight.keep()
            await asyncio.sleep(inflight.keep_seconds)
        first, second = queue.hidden[:2]
        assert VISIBILITY / 4 < first[0] <= VISIBILITY / 2
        assert second[0] - first[0] <= VISIBILITY / 2
        assert len(inflight) == 2

    assert on(scenario) == []


def test_what_the_queue_did_not_delete_is_deleted_again() -> None:
    async def scenario(queue: Failing, inflight: Inflight, messages: list[Message]) -> None:
        queue.refuses = True
        await inflight.done(messages)
        assert (len(queue), len(inflight)) == (2, 2)
        queue.refuses = False
        await inflight.keep()
        assert (len(queue), len(inflight)) == (0, 0)

    assert on(scenario) == [SettlementFailed("land", "delete", 2)]


def test_what_was_done_and_comes_again_is_known_until_it_is_deleted() -> None:
    async def scenario(queue: Failing, inflight: Inflight, messages: list[Message]) -> None:
        queue.refuses = True
        await inflight.done(messages[:1])
        await asyncio.sleep(VISIBILITY)
        inflight.let_go_expired()
        again = await queue.receive(wait_seconds=1, visibility_seconds=VISIBILITY)
        inflight.claim(again, VISIBILITY)
        assert [inflight.known(message) for message in again] == [True, False]
        queue.refuses = False
        await inflight.done(again[:1])
        assert len(queue) == 1

    on(scenario)


def test_what_is_not_ours_any_more_is_neither_deleted_nor_taken_as_done() -> None:
    async def scenario(queue: Failing, inflight: Inflight, messages: list[Message]) -> None:
        await asyncio.sleep(VISIBILITY)
        assert not inflight.ours(messages[0])
        await inflight.done(messages)
        assert len(queue) == 2
        assert not inflight.known(messages[0])

    on(scenario)


def test_what_is_done_is_deleted_at_the_end_and_the_rest_given_back() -> None:
    async def scenario(queue: Failing, inflight: Inflight, messages: list[Message]) -> None:
        queue.refuses = True
        await inflight.done(messages[:1])
        queue.refuses = False
        await inflight.release_all()
        assert queue.bodies == ["2"]
        assert queue.hidden == [(0.0, 0)]

    assert on(scenario)[-1] == MessagesReleased("land", 1)


def test_a_queue_that_cannot_be_asked_for_more_time_is_told() -> None:
    async def scenario(queue: Failing, inflight: Inflight, _: list[Message]) -> None:
        queue.away = True
        await asyncio.sleep(VISIBILITY / 2)
        with pytest.raises(TransientError):
            await inflight.keep()
        assert len(inflight) == 2

    assert on(scenario) == [SettlementFailed("land", "extend", 2)]


def test_only_so_many_are_remembered() -> None:
    async def main() -> None:
        queue = Failing()
        inflight = Inflight("land", queue, visibility_seconds=VISIBILITY, clock=LoopClock(), emit=lambda _: None)
        queue.put(*(Outgoing("x") for _ in range(REMEMBERED_MAX + 10)))
        queue.refuses = True
        first: Message | None = None
        while batch := await queue.receive(wait_seconds=0, visibility_seconds=VISIBILITY):
            first = first or batch[0]
            inflight.claim(batch, 0.0)
            await inflight.done(batch)
            last = batch[-1]
        assert first is not None
        assert (inflight.known(first), inflight.known(last)) == (False, True)

    run_virtual(main())
