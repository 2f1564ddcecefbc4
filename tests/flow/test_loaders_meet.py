"""Two loaders of one dataset take turns at its ledger."""

import asyncio

from service.core.events import GroupLoaded, LoadersMet
from service.core.ports import Statement
from tests.fakes.time import run_virtual
from tests.fakes.world import World, event, live

LOCK = Statement("ledger_lock", 'LOCK TABLE "acequia"."load_ledger_events"')


def test_a_loader_that_waits_for_the_ledger_says_so_and_then_loads(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        async with asyncio.TaskGroup() as group, world.warehouse.transaction() as other:
            await other.execute(LOCK)
            group.create_task(live(world))
            await asyncio.sleep(30)
            assert not world.event_ids()

    run_virtual(main())
    [met] = [e for e in world.events if isinstance(e, LoadersMet)]
    assert met.dataset == "events"
    assert met.wait_seconds > 10
    assert [e.inserted for e in world.events if isinstance(e, GroupLoaded)] == [1]


def test_loaders_that_do_not_meet_say_nothing(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world)

    run_virtual(main())
    assert not any(isinstance(e, LoadersMet) for e in world.events)
