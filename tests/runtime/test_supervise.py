"""The life of the process: signals, drains, failures and the exit codes that they give."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from service.core.clock import Deadline
from service.core.events import Event, ServiceDraining, ServiceStarted
from service.runtime import EXIT_DRAINED, EXIT_LATE, Signals, Worker, supervise
from tests.fakes.time import LoopClock, run_virtual

DRAIN_SECONDS = 50.0
STARTED = ServiceStarted(("one", "two"), 0)


class Layer:
    """A worker that runs until drained, and notes what became of it."""

    def __init__(self) -> None:
        self._drained = asyncio.Event()
        self.history: list[str] = []
        self.deadlines: list[float] = []

    def drain(self, deadline: Deadline) -> None:
        self.history.append("drained")
        self.deadlines.append(deadline.at)
        self._drained.set()

    async def run(self) -> None:
        self.history.append("began")
        try:
            await self.work()
        except asyncio.CancelledError:
            self.history.append("cancelled")
            raise
        finally:
            await asyncio.sleep(1)
            self.history.append("gave back")

    async def work(self) -> None:
        await self._drained.wait()


class Stubborn(Layer):
    """It does not drain; `on_drain` happens when it is asked to."""

    def __init__(self, on_drain: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_drain = on_drain

    def drain(self, deadline: Deadline) -> None:
        super().drain(deadline)
        self._on_drain()

    async def work(self) -> None:
        await asyncio.sleep(10 * DRAIN_SECONDS)


class Doing(Layer):
    """It does one thing and then ends, or fails."""

    def __init__(self, thing: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._thing = thing

    async def work(self) -> None:
        await self._thing()


class Ending(Layer):
    """It drains, and fails in doing so."""

    async def work(self) -> None:
        await super().work()
        raise ValueError("while draining")


def _signal(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def _supervise(workers: list[Layer], events: list[Event]) -> int:
    named: list[tuple[str, Worker]] = [(f"layer {number}", worker) for number, worker in enumerate(workers)]
    clock = LoopClock()
    with Signals() as signals:
        return await supervise(
            named, signals, started=STARTED, drain_seconds_max=DRAIN_SECONDS, clock=clock, emit=events.append
        )


async def _signalled(number: signal.Signals, workers: list[Layer], events: list[Event]) -> int:
    """Supervise, and send one signal once every worker runs."""
    running = asyncio.ensure_future(_supervise(workers, events))
    while STARTED not in events or not all(worker.history for worker in workers):  # noqa: ASYNC110 (loop turns)
        await asyncio.sleep(0)
    _signal(number)
    return await running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_worker_and_gives_0(number: signal.Signals) -> None:
    events: list[Event] = []

    async def main() -> None:
        workers = [Layer(), Layer()]
        assert await _signalled(number, workers, events) == EXIT_DRAINED == 0
        assert [worker.history for worker in workers] == [["began", "drained", "gave back"]] * 2
        assert [worker.deadlines for worker in workers] == [[DRAIN_SECONDS]] * 2, "one deadline for all"

    run_virtual(main())
    assert events == [STARTED, ServiceDraining(number.name, DRAIN_SECONDS)]


def test_a_second_signal_cancels_what_is_left_at_once_and_gives_3() -> None:
    async def main() -> None:
        quick, stubborn = Layer(), Stubborn(lambda: _signal(signal.SIGTERM))
        loop = asyncio.get_running_loop()
        assert await _signalled(signal.SIGTERM, [quick, stubborn], []) == EXIT_LATE == 3
        assert loop.time() < 5
        assert stubborn.history == ["began", "drained", "cancelled", "gave back"]

    run_virtual(main())


def test_a_drain_that_is_not_over_by_its_deadline_is_cancelled_and_gives_3() -> None:
    async def main() -> None:
        quick, stubborn = Layer(), Stubborn()
        assert await _signalled(signal.SIGTERM, [quick, stubborn], []) == EXIT_LATE
        assert asyncio.get_running_loop().time() == pytest.approx(DRAIN_SECONDS + 1), "and it may give back"
        assert quick.history == ["began", "drained", "gave back"]
        assert stubborn.history == ["began", "drained", "cancelled", "gave back"]

    run_virtual(main())


def test_a_worker_that_fails_cancels_the_others_and_its_failure_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    async def main() -> None:
        other = Layer()
        with pytest.raises(ExceptionGroup) as raised:
            await _supervise([Doing(fail), other], [])
        assert [str(one) for one in raised.value.exceptions] == ["a bug"]
        assert other.history == ["began", "cancelled", "gave back"]

    run_virtual(main())


def test_a_worker_that_fails_while_draining_is_raised_too() -> None:
    async def main() -> None:
        stubborn = Stubborn()
        with pytest.raises(ExceptionGroup) as raised:
            await _signalled(signal.SIGTERM, [Ending(), stubborn], [])
        assert [str(one) for one in raised.value.exceptions] == ["while draining"]
        assert stubborn.history[-2:] == ["cancelled", "gave back"]

    run_virtual(main())


def test_a_worker_that_ends_by_itself_drains_the_others() -> None:
    events: list[Event] = []

    async def end() -> None:
        await asyncio.sleep(3)

    async def main() -> None:
        other = Layer()
        assert await _supervise([Doing(end), other], events) == EXIT_DRAINED
        assert other.history == ["began", "drained", "gave back"]

    run_virtual(main())
    assert events == [STARTED, ServiceDraining("a layer ended", DRAIN_SECONDS)]


def test_signals_are_nobodys_afterwards() -> None:
    async def main() -> None:
        await _signalled(signal.SIGTERM, [Layer()], [])
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler

    run_virtual(main())
