"""What reconcile says of a lake, of work under way, and of what happened to the stores behind our back."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.upkeep.days import Days
from service.upkeep.messages import counted
from service.upkeep.reconcile import Reconcile
from service.upkeep.replay import Replay
from tests.fakes.journal import Crash, Journal
from tests.fakes.time import InlineThreads, LoopClock, run_virtual
from tests.fakes.world import DEFINITION, World, event, live
from tests.unit.upkeep.bed import (
    BAD,
    DAYS,
    LONG_AFTER,
    MENDED,
    TODAY,
    definition,
    differences,
    error_row,
    held,
    kinds,
    landed,
    lay_errors,
    naive,
    quarantined,
    raw_uris,
    reconciled,
    refined_uris,
    taken,
    tools,
)

VERSIONED = 'on_duplicate = "replace"\nversion = "amount"\n' + DEFINITION.replace(
    'type = "integer"', 'type = "integer"\nrequired = true'
)
P = ParamSpec("P")
R = TypeVar("R")


def test_what_was_used_well_adds_up(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), event(2), BAD)
        world.send(event(2), "no JSON")
        await live(world)
        assert kinds(await reconciled(world)) == [("in_flight", 2)], "the letters are with nobody yet"
        assert quarantined(world) == 2
        [day] = await reconciled(world)
        assert not day.findings
        figures = day.figures
        assert (figures.messages, figures.records, figures.refined_rows, figures.rejected) == (2, 5, 3, 2)
        assert (figures.inserted, figures.duplicate, figures.table_rows) == (2, 1, 2)

    run_virtual(main())


def test_what_was_rejected_before_a_replay_counts_no_more(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), {**BAD, "euros": 3})
        await live(world)
        quarantined(world)
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == []
        world.datasets = definition(tmp_path, MENDED)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=600))
        await live(world)
        [day] = await reconciled(world)
        assert (day.figures.refined_rows, day.figures.rejected, differences(day.figures)["raw"]) == (2, 0, 0)
        assert not day.findings

    run_virtual(main())


@pytest.mark.parametrize(("days", "kind"), [(15, "sent_back"), (17, "lost_again")])
def test_what_was_sent_back_is_explained_only_while_it_may_come(world: World, days: int, kind: str) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), BAD)
        await live(world)
        await LoopClock().sleep(LONG_AFTER)
        [letter] = world.letters("refine")
        now = LoopClock().now()
        sent_at = naive(now - timedelta(days=days))
        row = error_row("a", letter["raw_file"], letter["places"][0], now, state="reprocessed", _received_at=sent_at)
        lay_errors(world, [row], now)
        [day] = await reconciled(world)
        [found] = day.findings
        assert (found.kind, found.count, found.flagged) == (kind, 1, kind == "lost_again")

    run_virtual(main())


@pytest.mark.parametrize("records", [(event(1), event(2)), (BAD, BAD)])
def test_an_orphan_of_a_crash_is_explained(world: World, records: tuple[dict[str, object], ...]) -> None:
    async def main() -> None:
        world.open()

        def die(effect: str) -> None:
            if effect.startswith("refine send"):
                raise Crash(effect)

        world.send(*records)
        world.journal.before = die
        with pytest.raises(BaseException):  # noqa: B017, PT011 (the crash, in whatever it came)
            await live(world, layers=("land",))
        world.journal.before = Journal().before
        await LoopClock().sleep(LONG_AFTER)
        world.send(event(3))
        await live(world, land_batch_records_max=1)
        quarantined(world)
        await LoopClock().sleep(timedelta(hours=1).total_seconds())
        [day] = await reconciled(world)
        assert len(raw_uris(world)) == 3
        assert [(one.kind, one.count, one.flagged) for one in day.findings] == [("orphan", 2, False)]
        assert (day.figures.messages, day.figures.messages_distinct) == (3, 2)
        assert (day.figures.records, day.figures.records_distinct) == (5, 3)

    run_virtual(main())


def test_every_page_of_a_listing_counts(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 3)
        world.store.keys_a_page_max = 1
        [day] = await reconciled(world)
        assert (day.figures.raw_files, day.figures.refined_files, day.findings) == (3, 6, [])
        assert await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=60)) == ["sent"] * 3

    run_virtual(main())


def test_strangers_among_the_objects_are_passed_over(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        for uri in (raw_uris(world)[0] + ".tmp", refined_uris(world)[0] + "_$folder$", "s3://raw/events/README"):
            world.store.objects[uri] = b""
        assert kinds(await reconciled(world)) == []
        assert await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=60)) == ["sent"]

    run_virtual(main())


def test_what_was_stored_after_the_lake_was_listed_is_not_gone(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1, loaded=False)
        begun = False

        def work(effect: str) -> None:
            nonlocal begun
            begun = begun or effect == "warehouse begin"

        world.journal.before = work
        running = asyncio.ensure_future(live(world, lambda: begun and world.settled(), layers=("refine", "load")))
        slow = replace(tools(world), count=held, threads=_Slow())
        checked = Reconcile(slow, "events", DAYS, in_flight=timedelta(days=1))
        [day] = [day async for day in checked.run()]
        await running
        assert day.figures.table_rows == 2
        assert not [one for one in day.findings if one.flagged]

    run_virtual(main())


class _Slow(InlineThreads):
    """Opening a raw file takes long enough for the layers to do all of their work."""

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if work is counted:
            await LoopClock().sleep(600)
        return await super().run(work, *args, **kwargs)


def test_while_work_goes_on_nothing_is_flagged(world: World, tmp_path: Path) -> None:
    async def main() -> int:
        world.open()
        await landed(world, 4)
        world.datasets = definition(tmp_path, MENDED)
        await taken(Replay(tools(world), "events", DAYS).run(files_minute_max=6_000))
        for number in range(100, 130):
            world.send(event(number, amount=1, euros=10))
        running = asyncio.ensure_future(live(world, land_batch_records_max=3))
        looked = 0
        while not running.done():
            looked += 1
            [day] = await reconciled(world)
            assert not [one for one in day.findings if one.flagged]
            await LoopClock().sleep(0.2)
        await running
        return looked

    assert run_virtual(main()) > 20


def test_what_stands_in_the_table_or_the_ledger_twice_is_flagged(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        world.rows().append(world.rows()[0])
        assert kinds(await reconciled(world)) == [("rows_extra", -1), ("twice", 1)]
        world.rows().pop()
        world.warehouse.ledger_rows("events").append(world.warehouse.ledger_rows("events")[0])
        assert kinds(await reconciled(world)) == [("booked_twice", 1)]

    run_virtual(main())


def test_rows_that_gave_way_are_explained_and_no_more_than_took_their_place(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.datasets = definition(tmp_path, VERSIONED)
        world.open()
        world.send(event(1, amount=2), event(2, amount=1))
        await live(world)
        await LoopClock().sleep(24 * 3_600)
        world.send(event(2, amount=2), event(3, amount=1))
        await live(world)
        await LoopClock().sleep(LONG_AFTER)
        assert kinds(await reconciled(world)) == [("outranked", 1)], "by a row that arrived a day later"
        rows = world.rows()
        rows.remove(next(row for row in rows if row["event_id"] == "e001"))
        assert kinds(await reconciled(world)) == [("outranked", 1), ("rows_missing", 1)]
        rows.clear()
        found = await reconciled(world, TODAY, "2026-01-02")
        assert [kinds([day]) for day in found] == [[("outranked", 1), ("rows_missing", 1)], [("rows_missing", 2)]]

    run_virtual(main())


def test_the_books_of_months_hold_what_arrived_in_them(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        ledger = world.warehouse.ledger_rows("events")
        uri, *rest = ledger[0]
        for month, replaced in {"202512": 1, "202602": 10, "202603": 100}.items():
            rest[4] = replaced
            ledger.append((uri.replace("/202601", f"/{month}"), *rest))
        books = tools(world).books(world.datasets["events"])
        spans = {("2025-12-31", "2026-03-01"): 111, ("2026-01-31", "2026-02-28"): 10, ("2026-03-31", "2026-03-31"): 100}
        assert {span: await books.replaced(*map(date.fromisoformat, span)) for span in spans} == spans

    run_virtual(main())


def test_a_raw_file_that_is_gone_is_told_of(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        [uri] = raw_uris(world)
        del world.store.objects[uri]
        [day] = await reconciled(world)
        assert [(one.kind, one.count, one.uris) for one in day.findings] == [("raw_gone", -2, [uri])]
        world.rows().clear()
        [day] = await reconciled(world)
        assert [(one.kind, one.count) for one in day.findings] == [("raw_gone", -2), ("rows_missing", 2)]

    run_virtual(main())


def test_the_lake_tells_days_apart(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        lake = tools(world).lake
        assert len(await lake.refined_files("events", DAYS)) == 1
        assert await lake.refined_files("events", Days.parse("2026-01-02", "2026-01-03")) == {}
        assert await lake.raw_files("events", date(2026, 1, 2)) == []

    run_virtual(main())


def test_a_refined_file_that_is_another_one_than_was_loaded_is_read(world: World) -> None:
    async def main() -> None:
        world.open()
        await landed(world, 1)
        uri, _ = refined_uris(world)
        rows = pq.read_table(pa.BufferReader(world.store.objects[uri]))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.concat_tables([rows] * 3), sink)
        world.store.objects[uri] = bytes(sink.getvalue())
        [day] = await reconciled(world)
        assert [(one.kind, one.count, one.uris) for one in day.findings if one.kind == "other_file"] == [
            ("other_file", 2, [uri])
        ]
        assert day.figures.refined_rows == 4
        world.store.objects[uri] = b"no Parquet"
        assert kinds(await reconciled(world)) == [("refined_gone", 1)]

    run_virtual(main())
