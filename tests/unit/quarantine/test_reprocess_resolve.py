"""When what was sent back counts as resolved, and who says so."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from service.core.clock import Deadline
from service.core.datasets import Dataset
from service.core.events import ResolveFailed, RoundLooked
from service.core.marks import LandedMarks, Mark
from service.core.model import Original, Outgoing
from service.core.notice import File, FileNotice
from service.core.retry import Backoff
from service.quarantine.reprocess.rounds import Awaited
from service.quarantine.resolve import Resolve
from tests.fakes.journal import Away, Crash, Journal
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.bench import ERRORS_ZONE, NOON, RAW, RAW_FILE
from tests.unit.quarantine.reprocess_bed import FAILED, Bed, CrashAt, failed_again, lay_raw, message, records

BATCH = RAW_FILE.rpartition("/")[2].removesuffix(".parquet")
LATER_FILE = RAW_FILE.replace("0123456789abcdef", "fedcba9876543210").replace(
    "20240304T115959123Z", "20260101T000100000Z"
)
LATER = Awaited("loans", LATER_FILE.rpartition("/")[2].removesuffix(".parquet"))
SETTLE = 120.0


@dataclass
class Watch:
    """A resolver, and what the ledgers say."""

    bed: Bed
    ledger: set[Awaited] = field(default_factory=set)
    told: list[RoundLooked | ResolveFailed] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    hangs: bool = False

    def worker(self) -> Resolve:
        return Resolve(
            self._committed,
            zones=(RAW, ERRORS_ZONE),
            load_queue=self.bed.load_queue,
            settle_seconds=SETTLE,
            backoff=Backoff(1, 8, random.Random(1)),
            means=self.bed.means,
            told=self.told.append,
        )

    async def looks(self, minutes: float) -> None:
        """One life of the worker."""
        worker = self.worker()

        async def end() -> None:
            await LoopClock().sleep(60 * minutes)
            worker.drain(Deadline.after(60, LoopClock()))

        await asyncio.gather(worker.run(), end())

    async def standing(self) -> set[str]:
        """Of all fingerprints."""
        states = [json.loads(body) for uri, body in self.bed.store.objects.items() if "fingerprints/" in uri]
        return {state["state"] for state in states}

    async def _committed(self, asked: Sequence[Awaited], since: datetime) -> set[Awaited]:
        self.bed.journal.before("warehouse ledger")
        self.asked.append(since)
        if self.hangs:
            await asyncio.Event().wait()
        return self.ledger & set(asked)


@pytest.fixture
def watch(loans: Dataset) -> Callable[[], Watch]:
    """Call it inside a running loop."""
    return lambda: Watch(Bed({"loans": loans}))


def landed(here: Bed, uri: str = LATER_FILE) -> None:
    """Land stores everything that was sent back to it, and says so."""
    marks = [Mark.of(_read(sent)) for sent in here.queues["land"].sent.values()]
    body = LandedMarks(uri, [mark for mark in marks if mark is not None]).to_json()
    name = uri.rpartition("/")[2].removesuffix(".parquet")
    here.store.objects[ERRORS_ZONE.uri(f"marks/{name}.json")] = body


def _read(sent: Outgoing) -> Original:
    return Original("m", EPOCH, sent.attributes, sent.body)


async def sent_records(here: Bed, *places: tuple[int, int]) -> str:
    lay_raw(here, "a", "b", "c")
    await here.fail(records(*places))
    return (await here.run()).round_id


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


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_effect_is_made_good_by_the_next_life(watch: Callable[[], Watch], when: str) -> None:
    async def life(number: int | None) -> int:
        here = watch()
        await sent_records(here.bed, (0, 0), (1, 0))
        here.ledger.add(Awaited("loans", BATCH))
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
        assert {row["state"] for row in here.bed.table().values()} == {"resolved"}
        assert await here.standing() == {"resolved"}
        return len(here.bed.journal.effects) - before

    effects = run_virtual(life(None))
    assert effects >= 5
    for number in range(effects):
        run_virtual(life(number))


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


def test_a_round_is_given_up_after_a_fortnight(watch: Callable[[], Watch]) -> None:
    async def main() -> None:
        here = watch()
        round_id = await sent_records(here.bed, (0, 0))
        round_, _ = await here.bed.round(round_id)
        old = replace(round_, began_at=round_.began_at - timedelta(days=16))
        here.bed.store.objects[ERRORS_ZONE.uri(f"rounds/{round_id}.json")] = old.to_json()
        await here.looks(5)
        assert (await here.bed.round(round_id))[0].stage == "over"
        assert await here.bed.states_of() == ["reprocessed"]

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
