"""Protection from scale-in: up while there is work, down a little after it, never in the way."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

from service.core.clock import Deadline
from service.core.errors import TransientError
from service.core.events import Event, ShieldFailed
from service.intake.busy import Busy
from service.intake.shield import LINGER_SECONDS, RENEW_SECONDS, Shield
from tests.fakes.time import LoopClock, run_virtual


class Agent:
    """Notes what is asked, and when; refuses while `down`."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, bool]] = []
        self.down = False

    async def ask(self, *, protected: bool, expires_seconds: int) -> None:
        assert expires_seconds > RENEW_SECONDS
        self.asked.append((asyncio.get_running_loop().time(), protected))
        if self.down:
            raise TransientError("ecs", "no")


def shielded(work: Callable[[Busy, Agent], Coroutine[Any, Any, None]]) -> tuple[Agent, list[Event]]:
    """What the agent was asked while that work was done, and what telemetry heard."""
    agent, events = Agent(), list[Event]()

    async def main() -> None:
        busy = Busy()
        shield = Shield(agent, busy, clock=LoopClock(), emit=events.append)
        running = asyncio.ensure_future(shield.run())
        await work(busy, agent)
        shield.drain(Deadline.after(100, LoopClock()))
        await running

    run_virtual(main())
    return agent, events


def test_who_does_nothing_asks_for_nothing() -> None:
    async def idle(_: Busy, __: Agent) -> None:
        await asyncio.sleep(5_000)

    assert shielded(idle)[0].asked == []


def test_the_shield_is_up_while_there_is_work_and_down_a_little_after_it() -> None:
    async def work(busy: Busy, _: Agent) -> None:
        await asyncio.sleep(100)
        with busy:
            await asyncio.sleep(50)
        await asyncio.sleep(1_000)

    assert shielded(work)[0].asked == [(100, True), (150 + LINGER_SECONDS, False)]


def test_waves_of_work_share_one_shield_and_long_work_renews_it() -> None:
    async def work(busy: Busy, _: Agent) -> None:
        for _wave in range(10):
            with busy:
                await asyncio.sleep(10)
            await asyncio.sleep(10)
        with busy:
            await asyncio.sleep(700)

    agent, _ = shielded(work)
    ups = [moment for moment, protected in agent.asked if protected]
    assert ups[0] == 0
    assert len(ups) == 3
    assert all(later - earlier == RENEW_SECONDS for earlier, later in pairwise(ups))
    assert agent.asked[-1] == (900, False)


def test_overlapping_work_counts_as_one() -> None:
    async def work(busy: Busy, _: Agent) -> None:
        with busy:
            with busy:
                await asyncio.sleep(10)
            await asyncio.sleep(100)

    assert shielded(work)[0].asked == [(0, True), (110, False)]


def test_an_agent_that_refuses_is_told_of_and_asked_again_at_the_next_renewal() -> None:
    async def work(busy: Busy, agent: Agent) -> None:
        agent.down = True
        with busy:
            await asyncio.sleep(RENEW_SECONDS + 10)
            agent.down = False

    agent, events = shielded(work)
    assert [protected for _, protected in agent.asked] == [True, True, False]
    assert events == [ShieldFailed("ecs: no")] * 2
