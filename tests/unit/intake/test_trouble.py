"""A layer in trouble: who waits, for how long, who tries for all, and what telemetry hears."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from service.core.errors import ContendedError, DatasetSetupError, SetupError, TransientError
from service.core.events import Event, LayerPaused, LayerResumed, WorkFailed
from service.core.retry import Backoff, Down
from service.intake.breaker import TRIAL_SECONDS_MAX
from service.intake.trouble import Trouble
from tests.fakes.time import LoopClock, run_virtual

AWAY = TransientError("warehouse", "it is away")
BUSY = ContendedError("warehouse", "somebody is at the table")


class Layer:
    """Works that need a dependency, and what they did when."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.draining = asyncio.Event()
        self.down: Callable[[str], Down | None] = lambda _: None
        self.tries: list[tuple[float, str]] = []
        self.done: list[tuple[float, str]] = []
        self.seconds = 0.0
        """What a try takes."""
        self.trouble = Trouble(
            "load",
            backoff=Backoff(8.0, 64.0, random.Random(1)),
            draining=self.draining,
            clock=LoopClock(),
            emit=self.events.append,
        )

    async def work(self, name: str) -> None:
        """Try until it passes."""
        while not self.draining.is_set():
            self.tries.append((asyncio.get_running_loop().time(), name))
            down = self.down(name)
            if down is None:
                await asyncio.sleep(self.seconds)
                self.done.append((asyncio.get_running_loop().time(), name))
                break
            await self.trouble.wait(name, down)
        self.trouble.over(name)


def run(main: Callable[[Layer], Coroutine[Any, Any, None]]) -> Layer:
    async def inside() -> Layer:
        layer = Layer()
        await main(layer)
        return layer

    return run_virtual(inside())


def test_while_a_dependency_is_down_one_piece_of_work_tries_for_all() -> None:
    async def main(layer: Layer) -> None:
        back_at = 100.0
        layer.down = lambda _: AWAY if asyncio.get_running_loop().time() < back_at else None
        async with asyncio.TaskGroup() as works:
            for name in "abcd":
                works.create_task(layer.work(name))

    layer = run(main)
    in_vain = [moment for moment, _ in layer.tries if 0 < moment < 100]
    assert 2 <= len(in_vain) <= 6, "one try a wait, not four"
    gaps = [later - earlier for earlier, later in pairwise(in_vain)]
    assert gaps == sorted(gaps), "longer after each failure"
    assert len({moment for moment, _ in layer.done}) == 1, "when it is back, all go on at once"
    assert [type(e) for e in layer.events if not isinstance(e, WorkFailed)] == [LayerPaused, LayerResumed]


def test_who_tries_for_long_is_through_and_the_others_go_on() -> None:
    async def main(layer: Layer) -> None:
        layer.seconds = 1_000.0
        layer.down = lambda _: AWAY if asyncio.get_running_loop().time() < 1 else None
        async with asyncio.TaskGroup() as works:
            for name in "ab":
                works.create_task(layer.work(name))

    (first, _), (second, _) = run(main).done
    assert second - first == pytest.approx(TRIAL_SECONDS_MAX)


@pytest.mark.parametrize("down", [BUSY, DatasetSetupError("its table is missing")])
def test_what_concerns_one_dataset_holds_up_nobody_else(down: Down) -> None:
    async def main(layer: Layer) -> None:
        layer.down = lambda name: down if name == "a" and asyncio.get_running_loop().time() < 300 else None
        async with asyncio.TaskGroup() as works:
            works.create_task(layer.work("a"))
            await asyncio.sleep(100)
            assert not layer.trouble
            assert layer.trouble.of_dataset("a")
            works.create_task(layer.work("b"))

    layer = run(main)
    assert layer.done[0] == (100.0, "b")


def test_a_busy_table_is_told_but_makes_no_layer_unready() -> None:
    async def main(layer: Layer) -> None:
        layer.down = lambda _: BUSY if asyncio.get_running_loop().time() < 100 else None
        await layer.work("a")

    events = run(main).events
    assert events
    assert {type(event) for event in events} == {WorkFailed}


def test_a_busy_table_that_becomes_an_outage_pauses_the_layer() -> None:
    async def main(layer: Layer) -> None:
        def down(_: str) -> Down | None:
            moment = asyncio.get_running_loop().time()
            return BUSY if moment < 20 else AWAY if moment < 100 else None

        layer.down = down
        await layer.work("a")

    events = [event for event in run(main).events if not isinstance(event, WorkFailed)]
    assert events == [LayerPaused("load", str(AWAY)), LayerResumed("load")]


def test_breakers_of_two_dependencies_do_not_wait_for_each_other() -> None:
    away = {"a": AWAY, "b": TransientError("sqs", "away")}

    async def main(layer: Layer) -> None:
        layer.down = lambda n: away[n] if n == "a" or asyncio.get_running_loop().time() < 5 else None
        async with asyncio.TaskGroup() as works:
            works.create_task(layer.work("a"))
            works.create_task(layer.work("b"))
            await asyncio.sleep(10)
            assert [name for _, name in layer.done] == ["b"]
            layer.draining.set()

    run(main)


def test_draining_ends_every_wait_at_once() -> None:
    async def main(layer: Layer) -> None:
        down: dict[str, Down] = {"a": AWAY, "b": BUSY, "c": SetupError("no grant"), "d": AWAY}
        layer.down = down.get
        async with asyncio.TaskGroup() as works:
            for name in "abcd":
                works.create_task(layer.work(name))
            await asyncio.sleep(0.5)
            layer.draining.set()
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() == began

    layer = run(main)
    assert not layer.done
    assert not layer.trouble


def test_a_dependency_that_is_down_again_later_is_waited_for_from_the_start() -> None:
    async def main(layer: Layer) -> None:
        layer.down = lambda _: AWAY if asyncio.get_running_loop().time() < 200 else None
        await layer.work("a")
        layer.tries.clear()
        again = asyncio.get_running_loop().time()
        layer.down = lambda _: AWAY if asyncio.get_running_loop().time() < again + 1 else None
        await layer.work("b")

    (first, _), (second, _) = run(main).tries
    assert 4 <= second - first <= 8
