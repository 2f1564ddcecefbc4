"""What was sent back and failed again is the same record: counted once, in the end resolved under every cause."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from service.quarantine.reprocess.plan import plan
from service.quarantine.reprocess.table import Choice, Group
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.fakes.world import DEFINITION, World, event
from tests.flow.test_first_failure import REQUIRED, replays
from tests.flow.test_reprocess import MENDED, Operator, mend

WRONG = [f'{DEFINITION}\n[[column]]\nname = "{name}"\ntype = "varchar(8)"\n' for name in ("colour", "shape")]
"""Other definitions, which mend nothing."""
DAY = timedelta(days=1)


async def groups(operator: Operator) -> Sequence[Group]:
    """As `acequia reprocess list` has them."""
    return (await operator.errors()).groups(Choice(EPOCH - DAY, EPOCH + 9 * DAY))


async def tries(operator: Operator) -> set[tuple[int, int]]:
    """Which attempts the rows count: in the errors zone, and in the warehouse."""
    zone = (await operator.errors()).ask("SELECT error_id, attempts FROM latest")
    table = {row["error_id"]: row["attempts"] for row in operator.world.warehouse.rows("errors")}
    assert len(zone) == len(table)
    return {(attempts, table[error_id]) for error_id, attempts in zone}


def test_a_record_that_fails_under_other_definitions_is_one_row(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1), event(2, amount="few", euros=2), event(3))
        await operator.lives()
        [first] = await groups(operator)
        for attempt, wrong in enumerate(WRONG, start=2):
            mend(world, tmp_path, wrong)
            assert (await operator.run()).sent == 2
            await operator.lives(15)
            [group] = await groups(operator)
            told = (group.records, group.open, group.reprocessed, group.resolved, group.parked)
            assert told == (2, 2, 0, 0, 0)
            assert group.first_failed_at == first.first_failed_at
            assert group.last_failed_at > first.last_failed_at
            assert await operator.states() == {"open": 2}
            assert await tries(operator) == {(attempt, attempt)}
        done = await operator.run()
        assert (done.sent, done.parked) == (0, 2)
        await operator.lives(5)
        assert await operator.states() == {"parked": 2}
        mend(world, tmp_path)
        done = await operator.run(parked=True)
        assert (done.sent, done.letters) == (2, 1)
        await operator.lives(15)
        assert await operator.states() == {"resolved": 2}
        assert [(group.records, group.resolved) for group in await groups(operator)] == [(2, 2)]

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002", "e003"]


def test_what_failed_again_for_another_cause_is_resolved_under_the_old_one_too(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails again days after it was sent back, and only what failed since then is chosen."""
    monkeypatch.setattr("tests.fakes.time.VIRTUAL_SECONDS_MAX", 4 * DAY.total_seconds())

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1))
        await operator.lives()
        mend(world, tmp_path, REQUIRED)
        assert (await operator.run()).sent == 1
        await LoopClock().sleep((3 * DAY).total_seconds())
        await operator.lives(30)
        by_code = {group.code: (group.open, group.reprocessed) for group in await groups(operator)}
        assert by_code == {"bad_type": (0, 1), "missing_required": (1, 0)}
        mend(world, tmp_path, MENDED)
        choice = Choice(EPOCH + 2 * DAY, EPOCH + 9 * DAY)
        planned = await plan(choice, operator.tools, lambda _: lambda _: None)
        assert [(item.code, len(item.rows)) for item in planned.items] == [("missing_required", 1)]
        assert (await operator.send(planned)).sent == 1
        await operator.lives(60)
        assert await operator.states() == {"resolved": 2}
        told = [text for subject, text in world.notifier.mails if "resolved" in subject]
        assert all(any(f"{code} in events" in text for text in told) for code in by_code)

    run_virtual(main())
    assert world.event_ids() == ["e001"]


def test_one_record_that_is_resolved_says_nothing_of_another(world: World, tmp_path: Path) -> None:
    """Both failed again for another cause; one alone is sent back once more."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1), event(2, amount="few", euros=2))
        await operator.lives()
        mend(world, tmp_path, REQUIRED)
        assert (await operator.run()).sent == 2
        await operator.lives(15)
        mend(world, tmp_path, MENDED)
        assert (await operator.run(limit=1)).sent == 1
        await operator.lives(15)
        assert await operator.states() == {"resolved": 2, "reprocessed": 1, "open": 1}

    run_virtual(main())
    assert world.event_ids() == ["e001"]


def test_what_fails_anew_under_another_definition_is_news(world: World, tmp_path: Path) -> None:
    """It was resolved, and its raw file is refined again with a definition that is wrong."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1))
        await operator.lives()
        mend(world, tmp_path, MENDED)
        assert (await operator.run()).sent == 1
        await operator.lives(30)
        assert await operator.states() == {"resolved": 1}
        mend(world, tmp_path, WRONG[0])
        for notice in replays(world):
            world.queues["refine"].put(notice)
        await operator.lives(30)
        assert await operator.states() == {"open": 1}
        subjects = [subject for subject, _ in world.notifier.mails]
        assert [subject.split(":")[1].strip() for subject in subjects] == ["new", "resolved", "new"]

    run_virtual(main())
