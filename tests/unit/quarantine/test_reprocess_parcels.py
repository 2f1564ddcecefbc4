"""What a parcel tells of its items' past, and of a raw file that goes back as a whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.datasets import Dataset
from service.core.marks import Mark
from service.core.model import Attribute, Original
from service.core.moments import EARLIEST, naive
from service.core.notice import File, FileNotice
from service.core.zones import batch_of
from service.quarantine.reprocess import claims
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


def without_originals(here: Bed) -> None:
    """Their retention has ended."""
    for uri in [uri for uri in here.store.objects if "/originals/" in uri]:
        del here.store.objects[uri]


def test_an_original_that_is_gone_comes_from_its_letter(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        body = '{"a": 1}\n\ud800 ü \\u0000'
        await here.fail(message(body, "m1"), message("two", "m2"), message("three", "m3", code="too_large"))
        await here.fail(records((0, 0)))
        without_originals(here)
        planned = await here.planned()
        assert (planned.forecast.unknown, planned.forecast.chosen) == (4, 4)
        assert not any(here.reprocess_queue.received.values()), "no rehearsal looks there"
        here.journal.effects.clear()
        done = await here.run(code="unknown_dataset")
        assert (done.sent, done.messages, done.letters, done.refused) == (2, 2, 2, {})
        sent = {one.body: one for one in here.queues["land"].sent.values()}
        assert sent.keys() == {body, "two"}
        assert sent[body].attributes["raw"] == Attribute("Binary", b"\0\xff")
        mark = Mark.of(Original("m", EPOCH, sent[body].attributes, body))
        assert mark is not None
        assert (mark.origin, mark.attempt, mark.round_id) == ("m1", 1, done.round_id)
        assert await here.states_of() == ["open"] * 2 + ["reprocessed"] * 2
        assert len(here.reprocess_queue) == 2
        told = [effect.split()[:2] for effect in here.journal.effects]
        assert told.index(["records", "send"]) < told.index(["put", "errors"]) < told.index(["reprocess", "delete"])

    run_virtual(main())


def test_what_is_gone_from_everywhere_is_told_and_not_sent(bed: Callable[..., Bed]) -> None:
    """One was too large for its letter, which only points to it; the letter of the other one has expired."""

    async def main() -> None:
        here = bed()
        await here.fail(message("expired", "m2"))
        here.reprocess_queue.take()
        uri = "s3://errors/originals/dt=2025-12-31/one.json"
        here.store.objects[uri] = json.dumps(Original("m1", FAILED, {}, "one").as_json()).encode()
        await here.fail(message("one", "m1"), pointer=uri)
        await here.fail(records((0, 0)))
        assert (await here.planned()).forecast.unknown == 1, "the raw file"
        without_originals(here)
        done = await here.run()
        assert (done.sent, done.messages) == (0, 0)
        assert done.refused == {"its original is gone from the errors zone": 2, "the raw file is gone": 1}
        assert await here.states_of() == ["open"] * 3
        assert (await here.reprocess_queue.depth()).waiting == 2

    run_virtual(main())


def test_originals_from_letters_are_bounded_and_the_next_run_sends_the_others(
    bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "KEPT_BYTES_MAX", 6_000)

    async def main() -> None:
        here = bed()
        await here.fail(*(message(f"{number}" * 1_000, f"m{number}") for number in range(9)))
        here.reprocess_queue.put(*here.reprocess_queue.sent.values())
        without_originals(here)
        done = await here.run()
        assert (done.sent, done.refused) == (5, {claims.NO_ROOM: 4}), "a copy takes no room of its own"
        assert (await here.run()).sent == 4
        assert sorted(here.queues["land"].bodies) == [f"{number}" * 1_000 for number in range(9)]

    run_virtual(main())


def test_only_what_is_gone_is_kept_of_letters(bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "KEPT_BYTES_MAX", 1_500)

    async def main() -> None:
        here = bed()
        await here.fail(message("2" * 1_000, "m2"))
        without_originals(here)
        [letter] = here.reprocess_queue.sent.values()
        here.reprocess_queue.take()
        await here.fail(message("1" * 1_000, "m1"))
        here.reprocess_queue.put(letter)
        done = await here.run()
        assert (done.sent, done.letters, done.refused) == (2, 2, {})

    run_virtual(main())


def test_of_several_letters_about_one_failure_the_latest_is_kept(
    bed: Callable[..., Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the room of the one before it."""
    monkeypatch.setattr(claims, "KEPT_BYTES_MAX", 1_500)

    async def main() -> None:
        here = bed()
        tries = [(after, {"try": Attribute("String", f"{after}")}) for after in (1, 3, 2)]
        told = [message("1" * 1_000, "m1", after=after, attributes=attributes) for after, attributes in tries]
        here.reprocess_queue.put(*(letter.outgoing() for letter in told))
        found = claims.Claims(here.reprocess_queue, here.means.clock)
        await found.gather({told[0].error_id, "not there"}, lambda: False, keep={told[0].error_id})
        original = found.original(told[0].error_id)
        assert original is not None
        assert original.attributes == {"try": Attribute("String", "3")}
        assert found.original("not there") is None

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
