"""Visibility or deletion alone is out of order: the layer stops receiving, nothing is spent, nothing multiplies."""

import asyncio
from collections.abc import Sequence

from service.core.events import ClaimsExpired, FileLanded, LayerPaused, LayerResumed, MessagesDeferred, MessagesReceived
from tests.fakes.journal import Away
from tests.fakes.time import run_virtual
from tests.fakes.world import World, event, live


def test_a_layer_whose_visibility_cannot_be_changed_receives_nothing_new(world: World) -> None:
    away = Away("records hide", "sqs", times=20)
    received: list[int] = []

    def before(effect: str) -> None:
        if effect.startswith("records hide") and away.failures in (5, 19):
            received.append(sum(isinstance(one, MessagesReceived) for one in world.events))
            world.send(event(away.failures))
        away(effect)

    async def main() -> None:
        world.open()
        world.journal.before = before
        world.send(event(1))
        resumed = lambda: any(isinstance(one, LayerResumed) for one in world.events)  # noqa: E731
        await live(world, resumed, layers=("land",), land_batch_seconds_max=500, visibility_seconds=600)
        await live(world)

    run_virtual(main())
    assert received == [1, 1]
    [paused] = [one.reason for one in world.events if isinstance(one, LayerPaused)]
    assert paused == "sqs: it is away"
    assert not any(isinstance(one, ClaimsExpired) for one in world.events)
    assert world.event_ids() == ["e001", "e005", "e019"]


def test_deletions_that_fail_one_by_one_for_long_multiply_nothing(world: World) -> None:
    refusing = [True]

    async def main() -> None:
        world.open()
        queue = world.queues["load"]
        delete = queue.delete

        async def refuse(receipts: Sequence[str]) -> list[str]:
            return list(receipts) if refusing[0] else await delete(receipts)

        queue.delete = refuse  # type: ignore[method-assign]
        for number in range(6):
            world.send(event(number))
            await live(world, lambda n=number: len(world.queues["load"]) > n, layers=("land", "refine"))  # type: ignore[misc]
        world.warehouse.refuse |= {uri for uri in world.store.objects if uri.startswith("s3://raw/")}
        patient = {"layers": ("load",), "load_rejected_max": 4, "rejected_pause_seconds": 60}
        until = asyncio.get_running_loop().time() + 3_000
        await live(world, lambda: asyncio.get_running_loop().time() > until, **patient)
        assert sum(one.messages for one in world.events if isinstance(one, MessagesDeferred)) >= 6
        assert len(queue) <= 6 + sum(one.messages for one in world.events if isinstance(one, MessagesDeferred))
        counts = {body: queue.bodies.count(body) for body in queue.bodies}
        assert max(counts.values()) < 3_000 / 60 + 2, "one copy a pause, no more"
        assert max(queue.receives.values()) <= 2
        refusing[0] = False
        world.warehouse.refuse.clear()
        await live(world)

    run_virtual(main())
    assert world.event_ids() == [f"e{number:03d}" for number in range(6)]


def test_what_was_not_deleted_and_comes_again_is_not_worked_on_again(world: World) -> None:
    async def main() -> None:
        world.open()
        queue = world.queues["records"]
        delete = queue.delete
        tries: list[int] = []

        async def refuse(receipts: Sequence[str]) -> list[str]:
            tries.append(len(receipts))
            if len(tries) > 5:
                return await delete(receipts)
            queue.expire(receipts)
            return list(receipts)

        queue.delete = refuse  # type: ignore[method-assign]
        world.send(event(1))
        await live(world, layers=("land",), until=lambda: not len(queue))
        assert sum(one.messages for one in world.events if isinstance(one, MessagesReceived)) > 2
        assert len(world.queues["refine"]) == 1

    run_virtual(main())
    assert sum(isinstance(one, FileLanded) for one in world.events) == 1
