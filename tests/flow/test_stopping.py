"""A drain: what is worth it is done, what hangs is left, the rest is given back, all before the deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.core.clock import LETTING_GO_SECONDS
from service.core.events import BatchClosed, BatchFinished, BatchLeft, MessagesReleased
from service.core.ports import Session, Statement, Stored, Warehouse
from tests.fakes.time import run_virtual
from tests.fakes.world import DRAIN_SECONDS_MAX, World, event, live


def slow(world: World, seconds: float) -> None:
    """Each object takes that long to be stored."""
    put = world.store.put_new

    async def put_slowly(uri: str, body: bytes) -> Stored:
        await asyncio.sleep(seconds)
        return await put(uri, body)

    world.store.put_new = put_slowly  # type: ignore[method-assign]


class Hanging:
    """A warehouse whose transactions never get beyond their beginning."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self.begun = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._warehouse.transaction() as session:
            self.begun.set()
            await asyncio.Event().wait()
            yield session

    async def run(self, statement: Statement) -> None:
        await self._warehouse.run(statement)


def now() -> float:
    return asyncio.get_running_loop().time()


def seen(world: World, kind: type[object]) -> list[object]:
    return [one for one in world.events if isinstance(one, kind)]


def test_a_copy_that_hangs_is_left_before_the_deadline_and_its_notices_given_back(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, lambda: len(world.queues["load"]) > 0, layers=("land", "refine"))
        sound, hanging = world.warehouse, Hanging(world.warehouse)
        world.warehouse = hanging  # type: ignore[assignment]
        asked: list[float] = []

        def asks() -> bool:
            asked.append(now())
            return hanging.begun.is_set()

        await live(world, asks, layers=("load",))
        assert now() - asked[-1] == DRAIN_SECONDS_MAX - LETTING_GO_SECONDS
        world.warehouse = sound
        assert seen(world, BatchLeft) == [BatchLeft("load", "events", 1)]
        assert "load hide 1 for 0" in world.journal.effects
        assert not world.rows()
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001"]


def test_batches_are_begun_only_while_the_slowest_of_late_would_end_in_time(world: World) -> None:
    async def main() -> None:
        world.open()
        slow(world, 40)
        for number in range(8):
            world.send(event(number))
        began = now()
        await live(
            world,
            lambda: bool(seen(world, BatchFinished)),
            layers=("land",),
            land_batch_records_max=1,
            batches_concurrent_max=1,
            visibility_seconds=600,
        )
        assert now() - began <= 45 + DRAIN_SECONDS_MAX

    run_virtual(main())
    assert len(seen(world, BatchFinished)) == 3, "one before, and two in 92 seconds"
    assert not seen(world, BatchLeft)
    assert seen(world, MessagesReleased) == [MessagesReleased("land", 5)]
    assert len(seen(world, BatchClosed)) == 3
    assert (len(world.queues["records"]), len(world.queues["refine"])) == (5, 3)
    assert set(world.queues["records"].receives.values()) == {1}


async def for_ever(*_: object, **__: object) -> list[Any]:
    return await asyncio.Event().wait()  # type: ignore[return-value]


@pytest.mark.parametrize("also", ["nothing", "polls"])
def test_a_queue_that_hangs_delays_the_end_no_further_than_the_deadline(world: World, also: str) -> None:
    async def main() -> None:
        world.open()
        slow(world, 5_000)
        for number in range(25):
            world.send(event(number))
        asked: list[float] = []

        def asks() -> bool:
            asked.append(now())
            if not seen(world, BatchClosed):
                return False
            queue = world.queues["records"]
            queue.delete = queue.hide = for_ever  # type: ignore[method-assign]
            if also == "polls":
                queue.receive = for_ever  # type: ignore[method-assign]
            return len(asked) > 100

        await live(world, asks, layers=("land",))
        assert now() - asked[-1] < DRAIN_SECONDS_MAX

    run_virtual(main())
    assert seen(world, BatchLeft)
