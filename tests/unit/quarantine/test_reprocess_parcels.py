"""What a parcel tells of its items' past, and of a raw file that goes back as a whole."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.datasets import Dataset
from service.core.marks import Mark
from service.core.model import Original
from service.core.moments import EARLIEST, naive
from service.core.notice import File, FileNotice
from service.core.zones import batch_of
from service.quarantine.reprocess.rounds import Awaited
from service.quarantine.reprocess.run import Run
from tests.fakes.queue import EPOCH
from tests.fakes.time import run_virtual
from tests.unit.quarantine.bench import RAW_FILE
from tests.unit.quarantine.reprocess_bed import FAILED, RATE, Bed, lay_raw, message, records


@pytest.fixture
def bed(loans: Dataset) -> Callable[..., Bed]:
    """Call it inside a running loop."""
    return lambda **changed: Bed({"loans": loans}, **changed)


def test_records_that_failed_first_at_other_moments_go_in_notices_of_their_own(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a", "b", "c")
        day = timedelta(days=1)
        await here.fail(records((0, 0), (1, 0)), records((2, 0), code="bad_time", first_failed_at=FAILED - day))
        await here.fail(records((0, 0), after=60, code="too_long", first_failed_at=FAILED - 2 * day))
        await here.run()
        assert {one.first_failed_at: one.rows for one in here.notices()} == {
            FAILED: ((1, 0),),
            FAILED - day: ((2, 0),),
            FAILED - 2 * day: ((0, 0),),
        }
        assert await here.states_of() == ["reprocessed"] * 4

    run_virtual(main())


@pytest.mark.parametrize("rows", [(), ((1, 0),)], ids=["the file", "records of it"])
def test_a_notice_that_goes_back_is_awaited_as_what_it_is_about(
    bed: Callable[..., Bed], rows: tuple[tuple[int, int], ...]
) -> None:
    """Any file of the batch proves that the raw file was refined, but only its own that records of it were."""

    async def main() -> None:
        here = bed()
        notice = FileNotice("loans", "raw", [File(RAW_FILE, "e", 1, 1)], [], "b", "", EPOCH, rows=rows)
        await here.fail(message(notice.to_json(), "m1", layer="refine", dataset="loans", code="bad_file"))
        done = await here.run()
        _, [portion] = await here.round(done.round_id)
        moment = naive(EPOCH) if rows else None
        assert portion.items[0].awaited == (Awaited("loans", batch_of(RAW_FILE), moment=moment),)

    run_virtual(main())


def test_a_moment_that_no_mark_holds_costs_neither_the_mark_nor_the_notice(bed: Callable[..., Bed]) -> None:
    """A row that somebody else has laid there."""

    async def main() -> None:
        here = bed()
        lay_raw(here, "a")
        await here.fail(message("one", "m1"), records((0, 0)))
        planned = await here.planned()
        ancient = [replace(item, first_failed_at=datetime(1970, 1, 1, tzinfo=UTC)) for item in planned.items]
        run = Run(here.tools(), rate=RATE, stop=here.stopped, told=lambda _: None)
        assert (await run.run(replace(planned, items=ancient))).sent == 2
        [sent] = here.queues["land"].sent.values()
        mark = Mark.of(Original("m", EPOCH, sent.attributes, sent.body))
        assert mark is not None
        assert mark.first_failed_at == EARLIEST
        assert [one.first_failed_at for one in here.notices()] == [EARLIEST]

    run_virtual(main())


def test_a_whole_raw_file_goes_back_as_its_notice_byte_for_byte(bed: Callable[..., Bed]) -> None:
    """Two notices about one file are two messages, and neither is a record of it."""

    async def main() -> None:
        here = bed()
        lay_raw(here, "a", "b")
        told = [FileNotice("loans", "raw", [File(RAW_FILE, "e", 1, n)], [], "b", "", EPOCH).to_json() for n in (1, 2)]
        wrong: dict[str, Any] = {"layer": "refine", "dataset": "loans", "code": "bad_file"}
        await here.fail(*(message(body, f"m{n}", **wrong) for n, body in enumerate(told)), records((1, 0)))
        rows = (await here.error_table()).ask("SELECT raw_file, row_index FROM latest ORDER BY row_index NULLS FIRST")
        assert rows == [(RAW_FILE, None), (RAW_FILE, None), (RAW_FILE, 1)]
        done = await here.run()
        assert (done.sent, done.messages, done.refused) == (3, 3, {})
        sent = [one for one in here.queues["refine"].sent.values() if "acequia_mark" in one.attributes]
        assert sorted(one.body for one in sent) == sorted(told)
        assert {len(one.attributes) for one in sent} == {3}
        _, [portion] = await here.round(done.round_id)
        assert [(one.raw_file, one.row_index, one.origin) for one in portion.items] == [
            (RAW_FILE, 1, None),
            (None, None, "m0"),
            (None, None, "m1"),
        ]
        assert await here.states_of() == ["reprocessed"] * 3

    run_virtual(main())
