"""Replay and repair with the layers running: what an operator does on a lake that was used."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from service.core.dead_letter import read_letter
from service.core.errors import SetupError
from service.core.model import Outgoing
from service.core.notice import FileNotice, rows_to_replay
from service.upkeep.days import Days
from service.upkeep.replay import Replay
from service.upkeep.tools import IN_FLIGHT
from tests.fakes.journal import Crash, Journal
from tests.fakes.time import LoopClock, run_virtual
from tests.fakes.world import DEFINITION, World, event, live
from tests.unit.upkeep.bed import (
    DAYS,
    LONG_AFTER,
    MENDED,
    TODAY,
    amounts,
    definition,
    kinds,
    landed,
    mended,
    quarantined,
    raw_uris,
    reconciled,
    refined_uris,
    taken,
    tools,
)


def test_a_replay_of_a_day_ends_with_the_new_rows_once(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 3)
        old = refined_uris(world)
        world.datasets = definition(tmp_path, MENDED)
        assert await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=60)) == ["sent"] * 3
        await live(world)
        assert amounts(world) == [10, 10, 10, 20, 20, 20]
        assert len(refined_uris(world)) == len(old)
        assert not {*refined_uris(world)} & {*old}
        await LoopClock().sleep(LONG_AFTER)
        [day] = await reconciled(world)
        assert not day.findings
        assert day.figures.table_rows == day.figures.records == 6

    run_virtual(main())
    assert not world.letters("refine")
    assert not world.letters("load")


def test_a_replay_is_sent_no_faster_than_asked_for(world: World) -> None:
    async def main() -> list[float]:
        world.open()
        await landed(world, 3)
        steps = Replay(tools(world), "events", DAYS).run(files_minute_max=2)
        moments = [LoopClock().monotonic() async for _ in steps]
        return [round(later - sooner) for sooner, later in pairwise(moments)]

    assert run_virtual(main()) == [30, 30]


@pytest.mark.parametrize("since", [True, False])
def test_a_replay_that_died_half_way_is_run_again(world: World, tmp_path: Path, *, since: bool) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 4)
        world.datasets = definition(tmp_path, MENDED)
        began = LoopClock().now()
        left = 2

        def die(effect: str) -> None:
            nonlocal left
            left -= effect.startswith("refine send")
            if left < 0:
                raise Crash(effect)

        world.journal.before = die
        with pytest.raises(Crash):
            await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        world.journal.before = Journal().before
        await live(world)
        assert amounts(world) == [1, 1, 2, 2, 10, 10, 20, 20]
        again = Replay(tools(world), "events", DAYS, since=began if since else None)
        plan = await again.plan()
        fates = await taken(again.run(files_minute_max=600))
        assert plan.files == fates.count("sent") == (2 if since else 4)
        assert fates.count("settled") == sum(day.settled for day in plan.days) == (2 if since else 0)
        await live(world)
        assert amounts(world) == [10] * 4 + [20] * 4
        assert len(refined_uris(world)) == 8
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == []

    run_virtual(main())


def test_a_file_of_which_only_records_were_sent_back_since_is_not_settled(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1, amount=1, euros=10), event(2, amount="ten", euros=20))
        await live(world, lambda: len(world.queues["refine"]) == 1, layers=("land",))
        [raw] = map(FileNotice.from_json, world.queues["refine"].bodies)
        await live(world)
        [letter] = map(read_letter, world.queues["refine-dlq"].take())
        assert letter is not None
        await LoopClock().sleep(LONG_AFTER)
        began = LoopClock().now()
        world.datasets = definition(tmp_path, MENDED)
        rows = rows_to_replay(letter.code, letter.column, letter.places)
        again = replace(raw, rows=rows, attempt=1, round_id="r1", produced_at=began + timedelta(seconds=1))
        world.queues["refine"].put(Outgoing(again.to_json()))
        await live(world)
        assert amounts(world) == [1, 20]
        await LoopClock().sleep(LONG_AFTER)
        assert await taken(Replay(tools(world), "events", DAYS, since=began).run(files_minute_max=60)) == ["sent"]
        await live(world)
        assert amounts(world) == [10, 20]

    run_virtual(main())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_replay_that_died_at_any_send_is_run_again(world: World, tmp_path: Path, when: str, number: int) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 3)
        world.datasets = definition(tmp_path, MENDED)
        left = number

        def die(effect: str) -> None:
            nonlocal left
            left -= effect.startswith("refine send")
            if left == 0:
                raise Crash(effect)

        setattr(world.journal, when, die)
        with pytest.raises(Crash):
            await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        assert len(world.queues["refine"]) == (number if when == "after" else number - 1)
        setattr(world.journal, when, lambda _: None)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        await live(world)
        assert amounts(world) == [10] * 3 + [20] * 3
        assert len(refined_uris(world)) == 6

    run_virtual(main())
    assert not world.letters("load")


def test_two_replays_at_once_leave_one_set_of_files(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 3)
        world.datasets = definition(tmp_path, MENDED)
        for _ in range(2):
            await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        await live(world)
        assert amounts(world) == [10] * 3 + [20] * 3
        assert len(refined_uris(world)) == 6

    run_virtual(main())
    assert not world.letters("load")


def test_a_plan_tells_what_would_be_done_and_sends_nothing(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 2)
        plan = await Replay(tools(world), "events", DAYS).plan()
        assert (plan.files, plan.rows) == (2, 4)
        assert plan.days[0].content_length_bytes == sum(len(world.store.objects[uri]) for uri in raw_uris(world))
        assert plan.minutes(files_minute_max=60) == (1, 60), "four rows a minute, and an hour, were seen"
        assert plan.minutes(files_minute_max=0.05) == (40, 60), "sending takes longer"
        assert not len(world.queues["refine"])
        with pytest.raises(SetupError, match="'others' is not defined; there are events"):
            Replay(tools(world), "others", DAYS)
        with pytest.raises(SetupError, match=r"nothing of dataset 'events' arrived on 2026-01-02$"):
            await Replay(tools(world), "events", Days.parse("2026-01-02", "2026-01-02")).plan()
        world.store.objects.clear()
        with pytest.raises(SetupError, match=r"from 2026-01-01 to 2026-01-02; s3://raw/events/ holds nothing at all"):
            await Replay(tools(world), "events", Days.parse(TODAY, "2026-01-02")).plan()

    run_virtual(main())


def test_without_a_load_of_late_the_expected_minutes_are_unknown(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1, loaded=False)
        plan = await Replay(tools(world), "events", DAYS).plan()
        assert (plan.pace, plan.minutes(files_minute_max=60)) == (None, None)

    run_virtual(main())


@pytest.mark.parametrize("turn", [1, -1], ids=["its own notice first", "the replay first"])
@pytest.mark.parametrize("queue", ["refine", "load"])
def test_a_raw_file_on_its_way_for_the_first_time_ends_with_the_new_rows_once(
    world: World, tmp_path: Path, queue: str, turn: int
) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1, amount=1, euros=10))
        await live(world, lambda: len(world.queues["refine"]) == 1, layers=("land",))
        if queue == "load":
            await live(world, lambda: len(world.queues["load"]) == 1, layers=("refine",))
        world.datasets = definition(tmp_path, MENDED)
        assert await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=60)) == ["sent"]
        if queue == "load":
            await live(world, lambda: len(world.queues["load"]) == 2, layers=("refine",))
        for body in world.queues[queue].take()[::turn]:
            world.queues[queue].put(Outgoing(body))
            await live(world)
        assert amounts(world) == [10]
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == []
        assert len(refined_uris(world)) == 1

    run_virtual(main())
    assert not world.letters("load")


def test_a_raw_file_all_of_whose_records_were_rejected_just_now_is_replayed(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1, amount="ten", euros=10))
        await live(world)
        assert amounts(world) == []
        world.datasets = definition(tmp_path, MENDED)
        again = Replay(tools(world), "events", DAYS)
        assert (await again.plan()).files == 1
        assert await taken(again.run(files_minute_max=60)) == ["sent"]
        await live(world)
        assert amounts(world) == [10]

    run_virtual(main())


def test_a_raw_file_that_cannot_be_read_is_told_and_the_others_are_sent(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 2)
        world.store.objects[raw_uris(world)[0]] = b"no Parquet"
        steps = [step async for step in Replay(tools(world), "events", DAYS).run(files_minute_max=60)]
        assert [(step.fate, step.why) for step in steps] == [("refused", "it is not readable as Parquet"), ("sent", "")]

    run_virtual(main())


def test_an_expired_notice_of_a_raw_file_is_found_and_mended(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 2, loaded=False)
        asked = world.queues["refine"].take()
        assert kinds(await reconciled(world)) == [("not_refined", 2)] * 2
        assert [(one.mend, one.why) for one in await mended(world)] == [("announce", "")] * 2
        again = [FileNotice.from_json(body) for body in world.queues["refine"].bodies]
        first = [FileNotice.from_json(body) for body in asked]
        assert [replace(one, produced_at=first[n].produced_at) for n, one in enumerate(again)] == first
        await live(world)
        assert kinds(await reconciled(world)) == []
        assert len(world.rows()) == 4

    run_virtual(main())


def test_an_expired_notice_of_a_refined_file_is_found_and_mended(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 2, loaded=False)
        await live(world, lambda: not len(world.queues["refine"]), layers=("refine",))
        await LoopClock().sleep(LONG_AFTER)
        first = [FileNotice.from_json(body) for body in world.queues["load"].take()]
        assert kinds(await reconciled(world)) == [("not_loaded", 1)] * 4
        assert [(one.mend, one.why) for one in await mended(world)] == [("load", "")] * 4
        again = [FileNotice.from_json(body) for body in world.queues["load"].bodies]
        assert [replace(one, produced_at=first[n].produced_at) for n, one in enumerate(again)] == first
        assert all(one.produced_at <= LoopClock().now() - IN_FLIGHT for one in again), "as old as its files"
        await live(world)
        assert kinds(await reconciled(world)) == []
        assert len(world.rows()) == 4

    run_virtual(main())


def test_a_repair_that_died_half_way_is_run_again_and_one_too_many_is_harmless(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 3, loaded=False)
        lost = world.queues["refine"].take()

        def die(effect: str) -> None:
            if effect.startswith("refine send") and len(world.queues["refine"]) == 1:
                raise Crash(effect)

        world.journal.before = die
        with pytest.raises(Crash):
            await mended(world)
        world.journal.before = Journal().before
        assert len(await mended(world)) == 3
        world.queues["refine"].put(*map(Outgoing, lost))
        await live(world)
        assert kinds(await reconciled(world)) == []
        assert (len(world.rows()), len(refined_uris(world))) == (6, 6)

    run_virtual(main())


def test_a_replay_whose_load_notice_is_lost_is_asked_for_anew(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        world.datasets = definition(tmp_path, MENDED)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        await live(world, lambda: not len(world.queues["refine"]), layers=("refine",))
        assert len(world.queues["load"].take()) == 1
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == [("half_replayed", 1), ("half_replayed", 1), ("refined_twice", -2)]
        assert [one.mend for one in await mended(world)] == ["replay"]
        await live(world)
        assert amounts(world) == [10, 20]
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == []
        assert len(refined_uris(world)) == 2

    run_virtual(main())


def test_a_record_that_came_again_does_not_stand_for_one_that_is_nowhere(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1, amount=1, euros=10), event(2, amount="ten", euros=20), event(3, amount=3, euros="many"))
        await live(world, lambda: len(world.queues["refine"]) == 1, layers=("land",))
        [raw] = map(FileNotice.from_json, world.queues["refine"].bodies)
        await live(world)
        assert quarantined(world) == 1
        [letter] = map(read_letter, world.queues["refine-dlq"].take())
        assert letter is not None
        await LoopClock().sleep(LONG_AFTER)
        world.datasets = definition(tmp_path, MENDED)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=60))
        await live(world)
        assert amounts(world) == [10, 20]
        world.queues["refine-dlq"].take()
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == [("incomplete", 1)], "the letter about the third is lost"
        rows = rows_to_replay(letter.code, letter.column, letter.places)
        again = replace(raw, rows=rows, attempt=1, round_id="r1", produced_at=LoopClock().now())
        world.queues["refine"].put(Outgoing(again.to_json()))
        await live(world)
        await LoopClock().sleep(LONG_AFTER)
        assert amounts(world) == [10, 20]
        assert kinds(await reconciled(world)) == [("incomplete", 1), ("refined_twice", -1)]

    run_virtual(main())


def test_two_versions_of_a_record_of_which_one_was_mended_are_two_records(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1, amount=1, euros=10), event(1, amount="ten", euros=20))
        await live(world, lambda: len(world.queues["refine"]) == 1, layers=("land",))
        [raw] = map(FileNotice.from_json, world.queues["refine"].bodies)
        await live(world)
        [letter] = map(read_letter, world.queues["refine-dlq"].bodies)
        assert letter is not None
        assert quarantined(world, state="reprocessed") == 1
        world.queues["refine-dlq"].take()
        world.datasets = definition(tmp_path, MENDED)
        rows = rows_to_replay(letter.code, letter.column, letter.places)
        again = replace(raw, rows=rows, attempt=1, round_id="r1", produced_at=LoopClock().now() + timedelta(seconds=1))
        world.queues["refine"].put(Outgoing(again.to_json()))
        await live(world)
        await LoopClock().sleep(LONG_AFTER)
        assert len(world.rows()) == 1
        assert len(refined_uris(world)) == 2
        assert kinds(await reconciled(world)) == []

    run_virtual(main())


def test_refined_files_that_nobody_loaded_go_with_a_replay(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1, loaded=False)
        await live(world, lambda: not len(world.queues["refine"]), layers=("refine",))
        world.queues["load"].take()
        old = refined_uris(world)
        world.datasets = definition(tmp_path, MENDED)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=60))
        await live(world)
        assert amounts(world) == [10, 20]
        assert len(refined_uris(world)) == 2
        assert not {*refined_uris(world)} & {*old}

    run_virtual(main())


def test_a_replay_from_a_machine_whose_clock_is_behind_counts_all_the_same(world: World, tmp_path: Path) -> None:
    class Behind(LoopClock):
        def now(self) -> datetime:
            return super().now() - timedelta(days=1)

    async def main() -> None:
        world.open()
        await landed(world, 1)
        for text, wanted in ((DEFINITION.replace("2020-01-01", "2025-12-31"), []), (MENDED, [10, 20])):
            world.datasets = definition(tmp_path, text)
            late = replace(tools(world), clock=Behind())
            await taken(Replay(late, "events", DAYS).run(files_minute_max=60))
            await live(world)
            assert amounts(world) == wanted
            assert len(refined_uris(world)) == len(wanted)

    run_virtual(main())


def test_of_two_refined_files_only_the_one_that_was_not_loaded_is_announced(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1, loaded=False)
        await live(world, lambda: len(world.queues["load"]) == 2, layers=("refine",), refine_partitions_max=1)
        world.queues["load"].put(Outgoing(world.queues["load"].take()[0]))
        await live(world)
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == [("not_loaded", 1)]
        assert [one.mend for one in await mended(world)] == ["load"]
        await live(world)
        assert kinds(await reconciled(world)) == []

    run_virtual(main())


def test_a_replay_that_a_repair_asks_for_removes_leftovers_too(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        old = dict(world.store.objects)
        world.datasets = definition(tmp_path, MENDED)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        await live(world)
        world.store.objects.update(old)
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == [("leftover", 1)] * 2
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        await live(world, lambda: not len(world.queues["refine"]), layers=("refine",))
        world.queues["load"].take()
        await LoopClock().sleep(LONG_AFTER)
        assert [one.mend for one in await mended(world)] == ["replay"]
        await live(world)
        assert amounts(world) == [10, 20]
        assert len(refined_uris(world)) == 2

    run_virtual(main())
