"""When what was sent back counts as resolved, and who says so."""

import asyncio
from collections.abc import Callable

import pytest

from service.core.clock import Deadline
from service.core.datasets import Dataset
from service.core.events import ResolveFailed, RoundLooked
from service.core.notice import File, FileNotice
from service.quarantine.reprocess.rounds import Awaited
from tests.fakes.journal import Away
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.bench import NOON, RAW_FILE
from tests.unit.quarantine.reprocess_bed import FAILED, Bed, failed_again, lay_raw, message, records
from tests.unit.quarantine.reprocess_watch import BATCH, LATER, LATER_FILE, SETTLE, Watch, landed, sent_records


@pytest.fixture
def watch(loans: Dataset) -> Callable[[], Watch]:
    """Call it inside a running loop."""
    return lambda: Watch(Bed({"loans": loans}))


def test_records_are_resolved_when_a_file_of_their_batch_is_committed(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0), (1, 0))
        await here.looks(5)
        assert await here.bed.states_of() == ["reprocessed"] * 2
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(10)
        assert await here.bed.states_of() == ["resolved"] * 2
        assert {row["state"] for row in here.bed.table().values()} == {"resolved"}
        assert await here.standing() == {"resolved"}
        round_, _ = await here.bed.round(round_id)
        assert (round_.stage, round_.owed) == ("over", ())
        assert here.told == [RoundLooked(round_id, 2, 2, 0, 0, over=True)]
        assert set(here.asked) == {round_.began_at}

    run_virtual(main())


def test_nothing_is_resolved_before_a_failure_could_have_been_seen(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await sent_records(here.bed, (0, 0))
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks((SETTLE - 10) / 60)
        assert await here.bed.states_of() == ["reprocessed"]

    run_virtual(main())


def test_what_failed_again_is_not_resolved_and_the_others_are(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0), (1, 0), (2, 0))
        again = records((1, 0), after=7_300, attempts=2, round_id=round_id)
        other = records((2, 0), after=7_300, attempts=2, round_id=round_id, code="bad_time", definition="0b")
        await here.bed.fail(again)
        await here.bed.fail(other)
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(10)
        states = {(row["code"], row["state"]): row["attempts"] for row in (await here.bed.now()).values()}
        assert states == {
            ("bad_type", "resolved"): 1,
            ("bad_type", "open"): 2,
            ("bad_type", "reprocessed"): 1,
            ("bad_time", "open"): 2,
        }
        assert await here.standing() == {"open"}
        assert here.told == [RoundLooked(round_id, 1, 1, 2, 0, over=True)]

    run_virtual(main())


def test_what_failed_again_and_passed_then_is_resolved_under_every_name(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0))
        await here.bed.fail(
            records((0, 0), after=7_300, attempts=2, round_id=round_id, code="bad_time", definition="0b")
        )
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(10)
        assert sorted(await here.bed.states_of()) == ["open", "reprocessed"]
        await LoopClock().sleep(60)
        assert (await here.bed.run()).sent == 1
        await here.looks(10)
        assert await here.bed.states_of() == ["resolved"] * 2
        assert await here.standing() == {"resolved"}

    run_virtual(main())


def test_a_round_says_nothing_of_what_a_later_one_sent_back(watch: Callable[[], Watch]) -> None:
    """The record was found to fail for another cause, too, and went back once more before the first round ended."""

    async def main() -> None:
        here = watch()
        first = await sent_records(here.bed, (0, 0))
        await here.bed.fail(records((0, 0), after=7_300, code="bad_time"))
        await LoopClock().sleep(60)
        second = (await here.bed.run()).round_id
        for round_id, states in ((first, ["reprocessed", "resolved"]), (second, ["resolved", "resolved"])):
            _, [portion] = await here.bed.round(round_id)
            here.ledger.update(portion.items[0].awaited)
            await here.looks(20)
            assert await here.bed.states_of() == states

    run_virtual(main())


def test_what_is_open_again_by_another_way_is_not_resolved(watch: Callable[[], Watch]) -> None:
    """The whole file was refined again meanwhile, say."""

    async def main() -> None:
        here = watch()
        await sent_records(here.bed, (0, 0))
        await here.bed.fail(records((0, 0), after=7_300))
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(10)
        assert await here.bed.states_of() == ["open"]
        assert [one.resolved for one in here.told if isinstance(one, RoundLooked)] == [0]

    run_virtual(main())


def test_a_failure_that_is_seen_too_late_still_counts(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0))
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(10)
        assert await here.bed.states_of() == ["resolved"]
        await here.bed.fail(records((0, 0), after=7_230, attempts=2, round_id=round_id))
        assert await here.bed.states_of() == ["open"]
        assert {row["state"] for row in here.bed.table().values()} == {"open"}
        assert await here.standing() == {"open"}

    run_virtual(main())


def test_a_message_is_resolved_where_land_says_that_it_came_to(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await here.bed.fail(message("one", "m1"), message("two", "m2"))
        await here.bed.run()
        here.ledger.add(LATER)
        await here.looks(5)
        assert await here.bed.states_of() == ["reprocessed"] * 2
        landed(here.bed, LATER_FILE.replace("fedc", "0000"))
        landed(here.bed)
        await here.looks(60)
        assert await here.bed.states_of() == ["resolved"] * 2

    run_virtual(main())


def test_a_message_whose_records_failed_waits_for_them(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await here.bed.fail(message("one", "m0"), message("two", "m9"))
        await here.bed.run()
        landed(here.bed)
        lay_raw(here.bed, "one", "two", uri=LATER_FILE)
        await here.bed.fail(records((0, 0), uri=LATER_FILE, after=7_300))
        here.ledger.add(LATER)
        await here.looks(10)
        assert await here.bed.states_of() == ["open", "reprocessed", "resolved"]
        await LoopClock().sleep(120)
        await here.bed.run()
        await here.looks(60)
        assert await here.bed.states_of() == ["resolved"] * 3
        assert await here.standing() == {"resolved"}

    run_virtual(main())


def test_a_notice_to_load_is_resolved_when_its_very_files_are_there(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        files = [File("s3://refined/loans/one.parquet", "e", 1, 1), File("s3://refined/loans/two.parquet", "e", 1, 1)]
        notice = FileNotice("loans", "refined", files, [], BATCH, "0a", NOON)
        await here.bed.fail(message(notice.to_json(), "m1", layer="load", code="load_refused"))
        await here.bed.run()
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(5)
        assert await here.bed.states_of() == ["reprocessed"]
        here.ledger.add(Awaited("loans", BATCH, tuple(file.uri for file in files)))
        await here.looks(60)
        assert await here.bed.states_of() == ["resolved"]

    run_virtual(main())


def test_a_whole_raw_file_is_resolved_when_its_batch_is_loaded(watch: Callable[[], Watch]) -> None:
    """Its own error row names that file too: it does not wait for itself."""

    async def main() -> None:
        here = watch()
        notice = FileNotice("loans", "raw", [File(RAW_FILE, "e", 1, 1)], [], BATCH, "", NOON)
        told = {"layer": "refine", "code": "bad_file", "dataset": "loans"}
        await here.bed.fail(message(notice.to_json(), "m1", after=7_200, **told))
        assert {row["raw_file"] for row in here.bed.rows()} == {RAW_FILE}
        assert (await here.bed.run()).sent == 1
        await here.looks(5)
        assert await here.bed.states_of() == ["reprocessed"]
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(30)
        assert await here.bed.states_of() == ["resolved"]

    run_virtual(main())


def test_a_message_that_fails_again_as_a_whole_is_open(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await here.bed.fail(message("one", "m1"))
        await here.bed.run()
        [sent] = here.bed.queues["land"].sent.values()
        await LoopClock().sleep(60)
        seconds = (LoopClock().now() - FAILED).total_seconds()
        await here.bed.fail(failed_again(sent, "other", seconds, code="bad_json"))
        await here.looks(120)
        assert await here.bed.states_of() == ["open", "reprocessed"]
        [told] = here.told
        assert isinstance(told, RoundLooked)
        assert (told.failed, told.over) == (1, True)

    run_virtual(main())


def test_two_workers_do_no_harm(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await sent_records(here.bed, (0, 0))
        here.ledger.add(Awaited("loans", BATCH))
        await asyncio.gather(here.looks(30), here.looks(30))
        assert {row["state"] for row in here.bed.table().values()} == {"resolved"}
        files = [uri for uri in here.bed.store.objects if "s3://errors/errors/" in uri]
        assert len(files) == 3

    run_virtual(main())


def test_an_outage_is_waited_out(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await sent_records(here.bed, (0, 0))
        here.ledger.add(Awaited("loans", BATCH))
        here.bed.journal.before = Away("warehouse", "redshift", times=3)
        await here.looks(30)
        assert await here.bed.states_of() == ["resolved"]
        assert sum(isinstance(one, ResolveFailed) for one in here.told) == 3

    run_virtual(main())


def test_a_round_that_cannot_be_read_holds_up_no_other(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        first = await sent_records(here.bed, (0, 0))
        await sent_records(here.bed, (1, 0))
        objects, [portion] = here.bed.store.objects, [uri for uri in here.bed.store.objects if f"{first}/" in uri]
        kept, objects[portion] = objects[portion], b'{"v": 99}'
        here.ledger.add(Awaited("loans", BATCH))
        await here.looks(30)
        assert sorted(await here.bed.states_of()) == ["reprocessed", "resolved"]
        failures = [one for one in here.told if isinstance(one, ResolveFailed)]
        assert {one.reason.split(": ")[0] for one in failures} == {f"round {first}"}
        assert portion in failures[0].reason
        assert len(failures) > 1, "it is looked at again and again"
        objects[portion] = kept
        await here.looks(30)
        assert await here.bed.states_of() == ["resolved"] * 2

    run_virtual(main())


def test_older_rounds_are_looked_at_ever_more_seldom(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        await sent_records(here.bed, (0, 0))
        await here.looks(12 * 60)
        assert len(here.asked) <= 30

    run_virtual(main())


def test_a_warehouse_that_hangs_does_not_hold_a_stop(watch: Callable[[], Watch]) -> None:
    async def main() -> float:
        here = watch()
        await sent_records(here.bed, (0, 0))
        here.hangs = True
        worker = here.worker()
        running = asyncio.ensure_future(worker.run())
        await LoopClock().sleep(30)
        began = LoopClock().monotonic()
        worker.drain(Deadline.after(60, LoopClock()))
        await running
        return LoopClock().monotonic() - began

    assert run_virtual(main()) <= 60


def test_draining_what_has_ended_is_harmless(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        worker = watch().worker()
        worker.drain(Deadline.after(60, LoopClock()))
        await worker.run()
        worker.drain(Deadline.after(60, LoopClock()))

    run_virtual(main())
