"""What would become of the chosen: what is asked, and how the answers are counted."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.core.datasets import Dataset
from service.quarantine.originals import SCHEMA
from service.quarantine.reprocess import rehearse, run
from service.quarantine.reprocess.rehearse import NOTICES_MAX, Fault, Inside, OriginalsReader, forecast
from service.quarantine.reprocess.run import already_loaded
from tests.fakes.time import InlineThreads, run_virtual
from tests.unit.quarantine.bench import RAW_FILE
from tests.unit.quarantine.reprocess_bed import Bed, lay_raw, message, records


@pytest.fixture
def bed(loans: Dataset) -> Callable[..., Bed]:
    """Call it inside a running loop."""
    return lambda **changed: Bed({"loans": loans}, **changed)


class Counting(InlineThreads):
    """Says how often it was given something to do."""

    runs = 0

    async def run(self, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.runs += 1
        return await super().run(work, *given, **named)


def object_of(bodies: Mapping[str, bytes]) -> bytes:
    """Originals of a batch, by error id, as they lie in the errors zone."""
    nothing = dict.fromkeys(SCHEMA.names)
    rows = [{**nothing, "error_id": error_id, "body": body} for error_id, body in bodies.items()]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue())


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


def test_each_chosen_record_counts_that_is_loaded_already(
    bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several may be the same record, landed more than once: it has one `_record_id`."""
    monkeypatch.setattr(run, "RECORD_IDS_MAX", 2)

    async def main() -> None:
        here = bed(there={"a", "b", "c"})
        lay_raw(here, *"aabbbcdd")
        await here.fail(records(*((row, 0) for row in range(8))))
        planned = await here.planned()
        assert (planned.forecast.passing, planned.forecast.record_ids["loans"].total()) == (8, 8)
        assert await already_loaded(planned, here.tools()) == 6

    run_virtual(main())


def test_a_fault_is_told_of_the_dataset_that_judges_now(bed: Callable[..., Bed]) -> None:
    """It failed for none, or for one that there was not."""

    async def main() -> None:
        here = bed(bad={"two": Fault("too_long", "longer", "loans"), "three": Fault("unknown_dataset", "none")})
        await here.fail(message("two", "m2"), message("three", "m3"))
        assert (await here.planned()).forecast.failing == {
            ("loans", "too_long", "longer"): 1,
            ("", "unknown_dataset", "none"): 1,
        }

    run_virtual(main())


def test_originals_of_one_object_come_piece_by_piece_each_with_its_own(
    bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearse, "ROWS_AT_A_TIME", 2)
    monkeypatch.setattr(rehearse, "PIECE_ORIGINALS", 2)

    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"body {number}", f"m{number}") for number in range(5)))
        tools, items = here.tools(), (await here.planned()).items
        gone = replace(items[0], error_id="gone")
        originals = OriginalsReader(tools.errors, tools.means)
        found = [(item.error_id, one) async for item, one in originals.of([*reversed(items), gone])]
        assert {error_id for error_id, _ in found} == {item.error_id for item in items} | {"gone"}
        assert len(found) == 6
        assert found[-1] == ("gone", None)
        assert all(one is not None and one.error_id == error_id for error_id, one in found[:-1])
        assert {one.original.body for _, one in found if one} == {f"body {n}" for n in range(5)}

    run_virtual(main())


def test_of_a_large_object_a_few_originals_are_in_memory_and_it_is_decoded_once(bed: Callable[..., Bed]) -> None:
    """32 MB of bodies."""

    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"))
        [item] = (await here.planned()).items
        assert item.original_uri is not None
        items = [replace(item, error_id=f"{number:032x}") for number in range(320)]
        here.store.objects[item.original_uri] = object_of({one.error_id: b"x" * 100_000 for one in items})
        threads = Counting()
        means = replace(here.means, threads=threads)
        tracemalloc.start()
        async for _, specimen in OriginalsReader(here.tools().errors, means).of(items):
            assert specimen is not None
            del specimen
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 20_000_000
        assert threads.runs <= 6, "pieces of two decodings, in one pass"

    run_virtual(main())


def test_what_lies_mixed_in_one_object_is_judged_by_dataset_and_within_the_bytes(
    bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> list[int]:
        here = bed()
        await here.fail(*(message(f"body {n}", f"m{n}", dataset="ab"[n % 2], code="bad_json") for n in range(20)))
        assert (await here.planned()).forecast.passing == 20
        return sorted(len(some) for _, _, some in here.rehearsed)

    assert run_virtual(main()) == [10, 10]
    monkeypatch.setattr(rehearse, "SPECIMEN_BYTES_MAX", 30)
    judged = run_virtual(main())
    assert max(judged) <= 5, "of seven bytes each, over both datasets"
    assert (sum(judged), len(judged) <= 8) == (20, True), "and no oftener than that"


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
