"""What would become of the chosen: what is asked, and how the answers are counted."""

from collections.abc import Callable

import pytest

from service.core.datasets import Dataset
from service.quarantine.reprocess.rehearse import Fault
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


def test_of_whole_files_nobody_can_tell_beforehand(bed: Callable[..., Bed]) -> None:
    """A notice that is sound says nothing about its file; it does not count as failing either."""

    async def main() -> None:
        here = bed(bad={"three": Fault("bad_notice", "it is none")})
        await here.fail(
            message("one", "m1", layer="refine", code="bad_file"),
            message("two", "m2", layer="load", code="load_refused"),
            message("three", "m3", layer="refine", code="bad_notice"),
            message("four", "m4", layer="refine", code="unknown_dataset"),
            message("five", "m5", layer="load", code="redriven"),
            message("six", "m6", code="redriven"),
        )
        expected = (await here.planned()).forecast
        assert (expected.untold, expected.passing, expected.failing.total(), expected.chosen) == (3, 2, 1, 6)
        assert not expected.hopeless

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
