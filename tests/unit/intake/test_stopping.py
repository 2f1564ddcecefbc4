"""What a stopping layer still begins."""

import asyncio

from service.core.clock import LETTING_GO_SECONDS, Deadline
from service.intake.stopping import REMEMBERED, Stopping
from tests.fakes.time import LoopClock, run_virtual


def test_a_batch_is_begun_while_the_slowest_of_late_would_end_in_time() -> None:
    async def main() -> None:
        stopping = Stopping()
        for seconds in (500.0, *[1.0] * (REMEMBERED - 1), 20.0):
            stopping.took(seconds)
        assert stopping.worth_beginning(), "nobody asked yet"
        stopping.ask(Deadline.after(LETTING_GO_SECONDS + 30, LoopClock()))
        assert stopping.asked.is_set()
        await asyncio.sleep(9)
        assert stopping.worth_beginning()
        await asyncio.sleep(1)
        assert not stopping.worth_beginning()

    run_virtual(main())


def test_what_runs_is_left_a_little_before_the_deadline() -> None:
    async def main() -> None:
        stopping = Stopping()
        stopping.ask(Deadline.after(LETTING_GO_SECONDS + 30, LoopClock()))
        await asyncio.sleep(29)
        assert stopping.let_go_seconds() == 1
        assert stopping.worth_beginning(), "nothing is known of how long it takes"
        await asyncio.sleep(2)
        assert stopping.let_go_seconds() == 0
        assert not stopping.worth_beginning()

    run_virtual(main())
