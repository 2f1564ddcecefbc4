"""A raw file that refine rejected whole: an error row about it, explained, left alone by a repair, and sent back."""

from service.core.marks import MARK_ATTRIBUTE
from service.core.model import Attribute, Outgoing
from service.upkeep.explain import EXPLAINED
from tests.fakes.time import LoopClock, run_virtual
from tests.fakes.world import World, event, live
from tests.flow.test_reprocess import Operator
from tests.unit.upkeep.bed import LONG_AFTER, kinds, mended, raw_uris, reconciled


async def rejected(operator: Operator) -> tuple[str, bytes]:
    """Two records land in a file that is away when refine looks for it; it is there again afterwards."""
    world = operator.world
    world.send(event(1), event(2))
    gone: dict[str, bytes] = {}

    def lose(effect: str) -> None:
        if effect.startswith("refine receive"):
            gone.update({uri: world.store.objects.pop(uri) for uri in raw_uris(world)})

    world.journal.before = lose
    await operator.lives()
    world.journal.before = lambda _: None
    world.store.objects.update(gone)
    await LoopClock().sleep(LONG_AFTER)
    [(uri, body)] = gone.items()
    return uri, body


def test_it_is_explained_and_left_alone_until_it_is_sent_back_and_loaded(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        uri, _ = await rejected(operator)
        [row] = world.warehouse.rows("errors")
        assert (row["layer"], row["code"], row["dataset"]) == ("refine", "missing_object", "events")
        assert (row["raw_file"], row["row_index"], row["record_index"]) == (uri, None, None)
        assert kinds(await reconciled(world)) == [("rejected_whole", 2)]
        assert "rejected_whole" in EXPLAINED
        assert await mended(world) == []
        assert not len(world.queues["refine"])

        [notice] = [one.body for one in world.queues["refine"].sent.values()]
        assert (await operator.run()).sent == 1
        [back] = [one for one in world.queues["refine"].sent.values() if MARK_ATTRIBUTE in one.attributes]
        assert (back.body, {*back.attributes}) == (notice, {MARK_ATTRIBUTE})
        assert kinds(await reconciled(world)) == [("sent_back", 2)]
        assert await mended(world) == []

        await operator.lives(15)
        assert world.event_ids() == ["e001", "e002"]
        assert await operator.states() == {"resolved": 1}
        assert kinds(await reconciled(world)) == []

    run_virtual(main())


def test_it_fails_again_and_is_explained_as_before(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        uri, body = await rejected(operator)
        del world.store.objects[uri]
        assert (await operator.run()).sent == 1
        await operator.lives(5)
        world.store.objects[uri] = body
        await LoopClock().sleep(LONG_AFTER)
        [row] = world.warehouse.rows("errors")
        assert (row["attempts"], row["state"], row["raw_file"], row["row_index"]) == (2, "open", uri, None)
        assert row["first_failed_at"] < row["last_failed_at"]
        assert kinds(await reconciled(world)) == [("rejected_whole", 2)]
        assert (await operator.run()).sent == 1
        await operator.lives(15)
        assert await operator.states() == {"resolved": 1}
        assert kinds(await reconciled(world)) == []

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]


def test_what_sqs_moved_is_about_its_file_too(world: World) -> None:
    """Whatever attributes somebody gave the notice, they go back with it."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1), event(2))
        told = world.queues["refine"]
        await live(world, lambda: len(told) == 1, layers=("land",))
        [notice] = told.take()
        world.queues["refine-dlq"].put(Outgoing(notice, {"by": Attribute("String", "hand")}))
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == [("not_refined", 2)]
        await operator.lives()
        assert kinds(await reconciled(world)) == [("rejected_whole", 2)]
        assert (await operator.run()).sent == 1
        [back] = [one for one in told.sent.values() if MARK_ATTRIBUTE in one.attributes]
        assert (back.body, back.attributes["by"], len(back.attributes)) == (notice, Attribute("String", "hand"), 2)
        await operator.lives(15)
        assert await operator.states() == {"resolved": 1}
        assert kinds(await reconciled(world)) == []

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]
