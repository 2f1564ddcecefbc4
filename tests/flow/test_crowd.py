"""A queue whose in-flight ceiling is reached hands out nothing: batches close sooner, and a metric says so."""

from service.core.events import BatchClosed, QueueCrowded
from tests.fakes.time import run_virtual
from tests.fakes.world import World, event, live


def test_an_empty_poll_of_a_queue_with_a_backlog_closes_batches_sooner(world: World) -> None:
    async def main() -> None:
        world.open()
        world.queues["records"].inflight_max = 50
        for number in range(200):
            world.send(event(number))
        await live(world, land_batch_seconds_max=900, visibility_seconds=1_800)

    run_virtual(main())
    assert len(world.event_ids()) == 200
    first = next(e for e in world.events if isinstance(e, QueueCrowded))
    assert (first.layer, first.waiting, first.in_flight) == ("land", 150, 50)
    assert {e.reason for e in world.events if isinstance(e, BatchClosed) and e.layer == "land"} == {"crowd", "age"}


def test_an_idle_queue_is_not_crowded(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1))
        await live(world, land_batch_seconds_max=300, visibility_seconds=600)

    run_virtual(main())
    assert not any(isinstance(e, QueueCrowded) for e in world.events)
