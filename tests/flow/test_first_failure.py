"""What fails again keeps the moment of its first failure and the count of its tries, in every layer."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.core.definitions import load_datasets
from service.core.marks import MARK_ATTRIBUTE
from tests.fakes.time import LoopClock, run_virtual
from tests.fakes.world import DEFINITION, World, event
from tests.flow.test_reprocess import MENDED, Operator, mend

STEP = timedelta(hours=6)
"""Between two rounds."""
REQUIRED = MENDED.replace('path = "euros"', 'path = "dollars"\nrequired = true')
"""Under it the record fails for another cause."""


async def tries(operator: Operator) -> list[tuple[Any, ...]]:
    """Of each failure every try: layer, code, number, and in which steps it failed first and last."""
    rows = (await operator.errors()).ask(
        "SELECT layer, code, attempts, min(first_failed_at), max(last_failed_at) FROM error_rows"
        " WHERE state = 'open' GROUP BY error_id, layer, code, attempts ORDER BY 5, 3"
    )
    began = rows[0][3]
    return [(*row[:3], (row[3] - began) // STEP, (row[4] - began) // STEP) for row in rows]


async def a_step() -> None:
    await LoopClock().sleep(STEP.total_seconds())


async def fails_again(operator: Operator) -> None:
    """A step later everything is sent back, and fails."""
    await a_step()
    assert (await operator.run()).sent == 1
    await operator.lives(5)


def test_a_message_that_land_rejects(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1), dataset=None)
        await operator.lives()
        await fails_again(operator)
        await fails_again(operator)
        code = "unknown_dataset"
        assert await tries(operator) == [("land", code, 1, 0, 0), ("land", code, 2, 0, 1), ("land", code, 3, 0, 2)]
        [row] = world.warehouse.rows("errors")
        assert (row["attempts"], (row["last_failed_at"] - row["first_failed_at"]) // STEP) == (3, 2)

    run_virtual(main())


def test_a_record_that_refine_rejects_for_the_same_cause(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"), event(2))
        await operator.lives()
        await fails_again(operator)
        assert await tries(operator) == [("refine", "bad_type", 1, 0, 0), ("refine", "bad_type", 2, 0, 1)]

    run_virtual(main())


def test_a_record_that_refine_rejects_for_another_cause(world: World, tmp_path: Path) -> None:
    """It is another error, but not another record."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1))
        await operator.lives()
        mend(world, tmp_path, REQUIRED)
        await fails_again(operator)
        assert await tries(operator) == [("refine", "bad_type", 1, 0, 0), ("refine", "missing_required", 2, 0, 1)]
        assert len({row["first_failed_at"] for row in world.warehouse.rows("errors")}) == 1
        mend(world, tmp_path)
        await a_step()
        assert (await operator.run()).sent == 1
        await operator.lives(15)
        assert await operator.states() == {"resolved": 2}

    run_virtual(main())
    assert world.event_ids() == ["e001"]


def test_records_of_one_file_that_failed_first_at_different_moments(world: World, tmp_path: Path) -> None:
    """Each keeps its own, also where they are sent back together."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"), event(2, amount=2, dollars="few"), event(3, dollars=3))
        await operator.lives()
        mend(world, tmp_path, DEFINITION.replace('name = "amount"', 'name = "amount"\npath = "dollars"'))
        await a_step()
        for notice in replays(world):
            world.queues["refine"].put(notice)
        await operator.lives(5)
        assert await tries(operator) == [("refine", "bad_type", 1, 0, 0), ("refine", "bad_type", 1, 1, 1)]
        mend(world, tmp_path, REQUIRED)
        await a_step()
        assert (await operator.run()).messages == 2
        await operator.lives(5)
        assert await tries(operator) == [
            ("refine", "bad_type", 1, 0, 0),
            ("refine", "bad_type", 1, 1, 1),
            ("refine", "missing_required", 2, 0, 2),
            ("refine", "bad_type", 2, 1, 2),
        ]

    run_virtual(main())


def replays(world: World) -> Sequence[Any]:
    """What land told of its files, once more."""
    return [one for one in world.queues["refine"].sent.values() if MARK_ATTRIBUTE not in one.attributes][:1]


def test_a_file_that_load_rejects(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.warehouse.refuses = lambda row: row.get("event_id") == "e001"
        world.send(event(1))
        await operator.lives()
        await fails_again(operator)
        await fails_again(operator)
        code = "load_refused"
        assert await tries(operator) == [("load", code, 1, 0, 0), ("load", code, 2, 0, 1), ("load", code, 3, 0, 2)]
        assert (await operator.run()).parked == 1
        world.warehouse.refuses = lambda _: False
        assert (await operator.run(parked=True)).sent == 1
        await operator.lives(15)
        assert await operator.states() == {"resolved": 1}

    run_virtual(main())
    assert world.event_ids() == ["e001"]


def test_what_lands_at_last_and_fails_in_refine_is_another_failure(world: World) -> None:
    """Another layer's: its tries and its moments begin anew."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"), dataset=None)
        await operator.lives()
        operator.changed["records_dataset_default"] = "events"
        await fails_again(operator)
        assert await tries(operator) == [("land", "unknown_dataset", 1, 0, 0), ("refine", "bad_type", 1, 1, 1)]

    run_virtual(main())


@pytest.mark.parametrize("layer", ["records", "load"])
def test_a_message_goes_back_with_its_own_attributes_and_one_mark(tmp_path: Path, layer: str) -> None:
    (tmp_path / "events.toml").write_text(DEFINITION)
    world = World(load_datasets(tmp_path))

    async def main() -> None:
        operator = Operator(world)
        world.warehouse.refuses = lambda row: row.get("event_id") == "e001"
        world.send(event(1), dataset="events" if layer == "load" else "unheard_of")
        await operator.lives()
        before = dict(world.queues[layer].sent)
        assert (await operator.run()).sent == 1
        [back] = [sent for sent in world.queues[layer].sent.values() if MARK_ATTRIBUTE in sent.attributes]
        own = {name: value for name, value in back.attributes.items() if name != MARK_ATTRIBUTE}
        assert (back.body, own) in [(sent.body, sent.attributes) for sent in before.values()]
        assert ("dataset" in own) == (layer == "records")

    run_virtual(main())
