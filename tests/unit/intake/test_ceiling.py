"""SQS lets nobody hold a message for longer than 12 hours from its receive, however often it is extended."""

import asyncio
from collections.abc import Sequence

from service.core.events import ClaimsExpired, Event
from service.core.model import Outgoing
from service.intake.inflight import Inflight
from tests.fakes.journal import Journal
from tests.fakes.queue import FakeQueue
from tests.fakes.time import LoopClock, run_virtual

HOUR = 3_600


class Watched(FakeQueue):
    """Notes until when visibility was asked for."""

    def __init__(self) -> None:
        super().__init__("records", Journal())
        self.until: list[float] = []

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        self.until.append(asyncio.get_running_loop().time() + seconds)
        return await super().hide(receipts, seconds)


async def keep(inflight: Inflight) -> None:
    while True:
        await inflight.keep()
        await asyncio.sleep(inflight.keep_seconds)


def test_a_message_is_extended_up_to_the_ceiling_and_then_let_go() -> None:
    events: list[Event] = []

    async def main() -> Watched:
        queue = Watched()
        queue.put(Outgoing("{}"))
        inflight = Inflight("land", queue, visibility_seconds=600, clock=LoopClock(), emit=events.append)
        keeper = asyncio.ensure_future(keep(inflight))
        inflight.claim(await queue.receive(wait_seconds=1, visibility_seconds=600), 0.0)
        await asyncio.sleep(11 * HOUR)
        assert len(inflight) == 1
        await asyncio.sleep(2 * HOUR)
        assert len(inflight) == 0
        keeper.cancel()
        return queue

    queue = run_virtual(main())
    assert 11.5 * HOUR < max(queue.until) < 12 * HOUR
    assert events == [ClaimsExpired("land", 1)]


def test_an_extension_that_is_acknowledged_too_late_is_not_believed() -> None:
    events: list[Event] = []

    class Slow(Watched):
        async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
            await asyncio.sleep(400)
            return []

    async def main() -> int:
        queue = Slow()
        queue.put(Outgoing("{}"))
        inflight = Inflight("land", queue, visibility_seconds=600, clock=LoopClock(), emit=events.append)
        keeper = asyncio.ensure_future(keep(inflight))
        inflight.claim(await queue.receive(wait_seconds=1, visibility_seconds=600), 0.0)
        await asyncio.sleep(700)
        keeper.cancel()
        return len(inflight)

    assert run_virtual(main()) == 0
    assert events == [ClaimsExpired("land", 1)]
