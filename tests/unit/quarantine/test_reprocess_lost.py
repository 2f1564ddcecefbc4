"""What does not come, who dies on the way, and who only slept."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from service.core.clock import Deadline
from service.core.datasets import Dataset
from service.core.events import RoundLooked
from service.core.model import Outgoing
from service.core.notice import File, FileNotice
from service.quarantine.reprocess.rounds import Awaited
from tests.fakes.journal import Crash, Journal
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.bench import RAW_FILE
from tests.unit.quarantine.reprocess_bed import Bed, CrashAt, lay_raw, message, records
from tests.unit.quarantine.reprocess_watch import BATCH, LATER, LATER_FILE, Watch, aged, landed, sent_records


@pytest.fixture
def watch(loans: Dataset) -> Callable[[], Watch]:
    """Call it inside a running loop."""
    return lambda: Watch(Bed({"loans": loans}))


def test_a_round_whose_sender_died_is_taken_up(watch: Callable[[], Watch]) -> None:
    """It died between its error rows and their notice: the worker announces them."""

    async def main() -> None:
        here = watch()
        lay_raw(here.bed, "a")
        await here.bed.fail(records((0, 0)))
        known = len(here.bed.load_queue)

        def die(effect: str) -> None:
            if effect.startswith("load send"):
                raise Crash(effect)

        here.bed.journal.before = die
        with pytest.raises(Crash):
            await here.bed.run()
        here.bed.journal.before = Journal().before
        assert await here.bed.states_of() == ["reprocessed"]
        assert len(here.bed.load_queue) == known
        await here.looks(10)
        assert len(here.bed.load_queue) == known, "it may still be running"
        await here.looks(20)
        assert {row["state"] for row in here.bed.table().values()} == {"reprocessed"}
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(60)
        assert {row["state"] for row in here.bed.table().values()} == {"resolved"}

    run_virtual(main())


def test_what_failed_again_is_open_though_the_clock_of_who_saw_it_is_behind(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        lay_raw(here.bed, "a")
        await here.bed.fail(records((0, 0), after=180))
        done = await here.bed.run()
        await here.bed.fail(replace(records((0, 0), after=90), attempts=2, round_id=done.round_id))
        assert await here.bed.states_of() == ["reprocessed"], "the younger failure bears the older moment"
        await aged(here.bed, done.round_id)
        await here.looks(10)
        assert await here.bed.states_of() == ["open"]
        assert not any(here.lost())
        assert len((await here.bed.planned()).items) == 1

    run_virtual(main())


def test_what_a_replay_has_rejected_for_another_cause_meanwhile_is_not_resolved(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await sent_records(here.bed, (0, 0))
        await here.bed.fail(replace(records((0, 0), after=7_300), column="other", code="too_long", round_id=""))
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(30)
        rows = (await here.bed.now()).values()
        assert {row["code"]: row["state"] for row in rows} == {"bad_type": "reprocessed", "too_long": "open"}

    run_virtual(main())


@pytest.mark.parametrize("end", ["resolved", "open"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_effect_is_made_good_by_the_next_life(
    watch: Callable[[], Watch], when: str, end: Literal["resolved", "open"]
) -> None:
    """Whether everything has come, or is given up."""

    async def life(number: int | None) -> int:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0), (1, 0))
        if end == "resolved":
            here.ledger.add(Awaited("loans", BATCH))
        else:
            await aged(here.bed, round_id)
        before = len(here.bed.journal.effects)
        if number is not None:
            crash = CrashAt(number)
            setattr(here.bed.journal, when, crash)
            if when == "after":
                here.bed.journal.before = lambda effect: crash(effect) if crash.dead else None
            with pytest.raises(BaseException) as died:  # noqa: PT011 (a crash is none of ours)
                await here.looks(30)
            assert "Crash" in repr(died.value)
            here.bed.journal.before, here.bed.journal.after = Journal().before, Journal().after
        await here.looks(30)
        assert {row["state"] for row in here.bed.table().values()} == {end}
        assert await here.standing() == {end}
        assert (await here.bed.round(round_id))[0].stage == "over"
        assert here.lost() == [0 if end == "resolved" else 2]
        return len(here.bed.journal.effects) - before

    effects = run_virtual(life(None))
    assert effects >= 5
    for number in range(effects):
        run_virtual(life(number))


def test_what_has_not_come_after_a_fortnight_is_open_again(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0))
        await aged(here.bed, round_id)
        await here.looks(5)
        assert (await here.bed.round(round_id))[0].stage == "over"
        assert await here.bed.states_of() == ["open"]
        assert {row["state"] for row in here.bed.table().values()} == {"open"}
        assert await here.standing() == {"open"}
        assert here.told == [RoundLooked(round_id, 0, 0, 0, 1, over=True)]
        assert here.lost() == [1]
        await here.looks(5)
        assert (await here.bed.run()).sent == 1
        assert await here.bed.states_of() == ["reprocessed"]

    run_virtual(main())


def test_a_round_is_looked_at_when_it_is_given_up(watch: Callable[[], Watch]) -> None:
    """By its age, the next look would be days later."""

    async def main(minutes: float) -> list[str]:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0))
        await aged(here.bed, round_id, timedelta(days=15, hours=-2))
        await here.looks(minutes)
        return await here.bed.states_of()

    assert run_virtual(main(115)) == ["reprocessed"]
    assert run_virtual(main(125)) == ["open"]


def test_what_came_is_not_opened_again_however_late_that_is_seen(watch: Callable[[], Watch]) -> None:
    """The worker was down for a fortnight: its first look finds the file, and waits as ever for its failures."""

    async def main() -> None:
        here = watch()
        await aged(here.bed, await sent_records(here.bed, (0, 0)))
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(10)
        assert await here.bed.states_of() == ["resolved"]

    run_virtual(main())


def test_what_a_later_round_has_sent_is_that_round_s_to_give_up(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        first = await sent_records(here.bed, (0, 0))
        await LoopClock().sleep(60)
        await here.bed.fail(records((0, 0), after=7_230, attempts=2))
        assert (await here.bed.run()).sent == 1
        await aged(here.bed, first)
        await here.looks(5)
        assert (await here.bed.round(first))[0].stage == "over"
        assert await here.bed.states_of() == ["reprocessed"]
        assert here.lost() == [0]

    run_virtual(main())


def test_a_message_that_came_is_not_sent_again_because_of_its_records(watch: Callable[[], Watch]) -> None:
    """They failed, and nobody has sent them back: they stand there in rows of their own."""

    async def main() -> None:
        here = watch()
        await here.bed.fail(message("one", "m0"))
        round_id = (await here.bed.run()).round_id
        landed(here.bed)
        lay_raw(here.bed, "one", uri=LATER_FILE)
        await here.bed.fail(records((0, 0), uri=LATER_FILE, after=7_300))
        here.ledger.add(LATER)
        await here.looks(10)
        assert await here.bed.states_of() == ["open", "reprocessed"]
        await aged(here.bed, round_id)
        await here.looks(60)
        assert await here.bed.states_of() == ["open", "resolved"]

    run_virtual(main())


async def rejected_record(here: Watch) -> str:
    """A message was sent back and landed, and refine has rejected a record of it; nothing of it is loaded."""
    await here.bed.fail(message("one", "m0"))
    round_id = (await here.bed.run()).round_id
    landed(here.bed)
    lay_raw(here.bed, "one", uri=LATER_FILE)
    await here.bed.fail(records((0, 0), uri=LATER_FILE, after=7_300))
    return round_id


def test_a_message_of_which_every_record_failed_is_not_lost(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await rejected_record(here)
        await here.looks(90)
        assert await here.bed.states_of() == ["open", "reprocessed"], "its records may yet be sent back"
        await aged(here.bed, round_id)
        await here.looks(60)
        assert {row["code"]: row["state"] for row in (await here.bed.now()).values()} == {
            "unknown_dataset": "resolved",
            "bad_type": "open",
        }
        assert here.lost() == [0, 0]
        assert [item.code for item in (await here.bed.planned()).items] == ["bad_type"]

    run_virtual(main())


def test_a_message_of_which_a_part_failed_and_the_rest_never_came_is_lost(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await rejected_record(here)
        here.lake.add(LATER)
        await aged(here.bed, round_id)
        await here.looks(60)
        assert await here.bed.states_of() == ["open", "open"]
        assert sorted(here.lost()) == [0, 1]

    run_virtual(main())


def test_a_message_that_nobody_has_heard_of_since_is_lost_though_nothing_of_it_lies_in_the_lake(
    watch: Callable[[], Watch],
) -> None:
    async def main() -> None:
        here = watch()
        await here.bed.fail(message("one", "m0"))
        round_id = (await here.bed.run()).round_id
        landed(here.bed)
        await aged(here.bed, round_id)
        await here.looks(60)
        assert await here.bed.states_of() == ["open"]
        assert here.lost() == [1]

    run_virtual(main())


def test_a_whole_file_of_which_a_record_failed_and_nothing_came_is_lost(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        told = {"layer": "refine", "code": "bad_file", "dataset": "loans"}
        notice = FileNotice("loans", "raw", [File(RAW_FILE, "e", 1, 1)], [], BATCH, "", EPOCH)
        await here.bed.fail(message(notice.to_json(), "m1", after=7_200, **told))
        lay_raw(here.bed, "a", "b")
        round_id = (await here.bed.run()).round_id
        await here.bed.fail(records((0, 0), after=7_300))
        await aged(here.bed, round_id)
        await here.looks(60)
        assert await here.bed.states_of() == ["open", "open"]
        assert sorted(here.lost()) == [0, 1]

    run_virtual(main())


def test_who_sends_may_have_slept(watch: Callable[[], Watch]) -> None:
    """Its round was taken for dead and ended meanwhile; what it sends then is watched all the same."""

    async def main() -> None:
        here = watch()
        lay_raw(here.bed, "a")
        await here.bed.fail(records((0, 0)))
        worker = here.worker()
        watching = asyncio.ensure_future(worker.run())

        send = here.bed.queues["refine"].send

        async def slow(messages: Sequence[Outgoing]) -> None:
            await LoopClock().sleep(1_800)
            await send(messages)

        here.bed.queues["refine"].send = slow  # type: ignore[method-assign]
        done = await here.bed.run()
        assert [one.over for one in here.told if isinstance(one, RoundLooked)] == [True], "it was ended meanwhile"
        here.ledger.add(Awaited("loans", BATCH))
        await LoopClock().sleep(3_600)
        worker.drain(Deadline.after(60, LoopClock()))
        await watching
        assert (await here.bed.round(done.round_id))[0].stage == "over"
        assert await here.bed.states_of() == ["resolved"]

    run_virtual(main())
