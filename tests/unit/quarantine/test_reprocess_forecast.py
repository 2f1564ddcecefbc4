"""What would become of the chosen: what is asked, and how the answers are counted."""

from collections import Counter
from collections.abc import Callable

import pytest

from service.core.datasets import Dataset
from service.quarantine.reprocess import rehearse
from service.quarantine.reprocess.rehearse import NOTICES_MAX, Fault, Inside, OriginalsReader, forecast
from service.quarantine.reprocess.run import already_loaded
from tests.fakes.time import run_virtual
from tests.unit.quarantine.bench import RAW_FILE
from tests.unit.quarantine.reprocess_bed import Bed, lay_raw, message, records


@pytest.fixture
def bed(loans: Dataset) -> Callable[..., Bed]:
    """Call it inside a running loop."""
    return lambda **changed: Bed({"loans": loans}, **changed)


def test_a_forecast_says_what_would_pass_and_why_the_rest_would_not(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed(bad={"two": Fault("bad_json", "it is none"), "three": Fault("bad_json", "it is none")})
        await here.fail(message("one", "m1"), message("two", "m2"), message("three", "m3", layer="refine"))
        quiet = len(here.journal.effects)
        planned = await here.planned()
        assert here.journal.effects[quiet:] == []
        assert not any(here.reprocess_queue.received.values())
        expected = planned.forecast
        assert (expected.passing, expected.unknown, expected.hopeless) == (1, 0, True)
        assert expected.failing == {("", "bad_json", "it is none"): 2}
        assert [(layer, len(some)) for layer, _, some in here.rehearsed] == [("land", 2), ("refine", 1)]
        here.there = {"one", "elsewhere"}
        assert await already_loaded(planned, here.tools()) == 1

    run_virtual(main())


def test_originals_of_one_object_come_in_slices_each_with_its_own(
    bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearse, "ORIGINALS_AT_A_TIME", 2)
    monkeypatch.setattr(rehearse, "ROWS_AT_A_TIME", 2)

    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"body {number}", f"m{number}") for number in range(5)))
        tools, items = here.tools(), (await here.planned()).items
        originals = OriginalsReader(tools.errors, tools.means)
        found = [(item.error_id, specimen) async for item, specimen in originals.of(items)]
        assert [error_id for error_id, _ in found] == [item.error_id for item in items]
        assert all(specimen is not None and specimen.error_id == error_id for error_id, specimen in found)
        assert {specimen.original.body for _, specimen in found if specimen} == {f"body {n}" for n in range(5)}

    run_virtual(main())


def test_what_nobody_can_tell_beforehand_neither_passes_nor_fails(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed(bad={"three": Fault("missing_object", "gone")}, doubts={"one": "why", "two": "why"})
        await here.fail(
            message("one", "m1", layer="load", code="load_refused"),
            message("two", "m2", layer="load", code="redriven"),
            message("three", "m3", layer="load", code="load_refused"),
            message("four", "m4", layer="refine", code="unknown_dataset"),
        )
        expected = (await here.planned()).forecast
        assert expected.untold == {"why": 2}
        assert (expected.passing, expected.failing.total(), expected.chosen) == (1, 1, 4)
        assert not expected.hopeless

    run_virtual(main())


def test_what_whole_files_hold_is_summed_up_beside_the_notices(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        for number in range(NOTICES_MAX + 1):
            here.insides[f"n{number}"] = Inside(1, 5, Counter({("loans", "bad_type", "no integer"): 2}))
            await here.fail(message(f"n{number}", f"m{number}", layer="refine", code="bad_file"))
        told = list[int]()
        tools, items = here.tools(), (await here.planned()).items
        expected = await forecast(items, OriginalsReader(tools.errors, tools.means), tools.rehearse, told.append)
        assert (expected.passing, expected.chosen, expected.hopeless) == (NOTICES_MAX + 1,) * 2 + (False,)
        assert expected.inside.files == NOTICES_MAX + 1
        assert (expected.inside.passing, expected.inside.failing.total()) == (45, 18)
        assert told == [NOTICES_MAX, 1], "progress is told file by file, or nearly"

    run_virtual(main())


def test_where_most_records_of_whole_files_would_fail_somebody_is_asked(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed(insides={"one": Inside(1, 5, Counter({("loans", "bad_type", "no integer"): 6}))})
        await here.fail(message("one", "m1", layer="refine", code="bad_file"))
        expected = (await here.planned()).forecast
        assert (expected.passing, expected.hopeless) == (1, True)

    run_virtual(main())


def test_whether_a_record_s_message_was_opened_goes_with_it(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a\nb", "c")
        await here.fail(records((0, 0), (1, 0)), message("one", "m1"))
        await here.fail(records((0, 0), code="bad_envelope", column=None, after=1), records((0, 1), after=2))
        await here.planned()
        told = {one.original.body: one.opened for _, _, some in here.rehearsed for one in some}
        assert told == {"a": False, "b": True, "c": True, "one": False}

    run_virtual(main())


def test_records_are_rehearsed_by_their_own_text(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a\nb", "c")
        await here.fail(records((0, 1), (1, 0)))
        await here.planned()
        [(layer, dataset, specimens)] = here.rehearsed
        assert (layer, dataset) == ("refine", "loans")
        told = {(one.original.body, one.original.message_id, one.place, one.raw_file) for one in specimens}
        assert told == {("b", "m0", (0, 1), RAW_FILE), ("c", "m1", (1, 0), RAW_FILE)}

    run_virtual(main())
