"""What the errors zone says: failures by cause, examples, and which of them are chosen."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.commands.failures import example_lines
from service.core.datasets import Dataset
from service.core.notice import File, FileNotice
from service.quarantine.reprocess.plan import errors_of
from service.quarantine.reprocess.show import Field, shown
from service.quarantine.reprocess.table import DAYS_AT_A_TIME, read_table
from tests.fakes.queue import EPOCH
from tests.fakes.time import run_virtual
from tests.unit.quarantine.bench import ERRORS_ZONE, RAW_FILE, Row
from tests.unit.quarantine.reprocess_bed import FAILED, SENTENCE, Bed, choice, lay_raw, message, records


@pytest.fixture
def bed(loans: Dataset) -> Callable[..., Bed]:
    """Call it inside a running loop."""
    return lambda **changed: Bed({"loans": loans}, **changed)


def test_failures_are_counted_by_cause_and_by_where_they_stand(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a", "b", "c", "d")
        await here.fail(records((0, 0), (1, 0), (2, 0)), message("one", "m1", after=60))
        await here.fail(records((3, 0), after=120, attempts=3))
        await here.run(since=FAILED + timedelta(minutes=1), code="bad_type")
        await here.run(limit=2, code="bad_type")
        groups = (await here.error_table()).groups(choice())
        assert [(one.code, one.records, one.open, one.reprocessed, one.resolved, one.parked) for one in groups] == [
            ("bad_type", 4, 1, 2, 0, 1),
            ("unknown_dataset", 1, 1, 0, 0, 0),
        ]
        assert (groups[0].layer, groups[0].dataset, groups[0].field, groups[0].sentence) == (
            "refine",
            "loans",
            "amount",
            SENTENCE,
        )
        assert (groups[1].layer, groups[1].dataset, groups[1].field) == ("land", "", None)
        assert (groups[0].first_failed_at, groups[0].last_failed_at) == (FAILED, FAILED + timedelta(seconds=120))

    run_virtual(main())


def test_every_filter_leaves_out_the_others(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, "a")
        await here.fail(records((0, 0)), message("one", "m1", after=60), message("two", "m2", layer="load", after=120))
        table = await here.error_table()
        fingerprint = table.groups(choice(layer="load"))[0].fingerprint
        minute = timedelta(minutes=1)
        filters: list[tuple[Row, list[str]]] = [
            ({"layer": "load"}, ["load"]),
            ({"fingerprint": fingerprint}, ["load"]),
            ({"dataset": "loans"}, ["refine"]),
            ({"dataset": ""}, ["land", "load"]),
            ({"code": "bad_type"}, ["refine"]),
            ({"since": FAILED + minute}, ["land", "load"]),
            ({"until": FAILED + minute}, ["land", "refine"]),
            ({"code": "bad_type", "layer": "load"}, []),
            ({}, ["land", "load", "refine"]),
        ]
        for wanted, layers in filters:
            assert sorted(one.layer for one in table.groups(choice(**wanted))) == layers, wanted
            assert sorted(one.layer for one in table.items(choice(**wanted))) == layers, wanted

    run_virtual(main())


def test_a_message_is_one_thing_whatever_it_failed_of(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"), message("one", "m1", code="too_large", after=60))
        await here.fail(message("one", "m1", layer="load"), message("two", "m2"))
        items = (await here.error_table()).items(choice())
        found = sorted((one.layer, one.message_id, one.code, len(one.rows)) for one in items)
        assert found == [
            ("land", "m1", "too_large", 2),
            ("land", "m2", "unknown_dataset", 1),
            ("load", "m1", "unknown_dataset", 1),
        ]

    run_virtual(main())


def test_earlier_days_and_strange_files_are_left_out_and_broken_ones_are_told(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("one", "m1"), message("two", "m2", after=-86_400))
        broken = ERRORS_ZONE.uri("errors/dt=2026-01-01/20260101T000000000Z-0123456789abcdef.0123456789ab.parquet")
        here.store.objects[broken] = b"no Parquet"
        here.store.objects[ERRORS_ZONE.uri("errors/dt=2026-01-01/notes.txt")] = b"hello"
        table = await read_table(ERRORS_ZONE, here.means, FAILED.date())
        assert (table.rows.num_rows, table.unreadable) == (1, [broken])
        here.store.keys_a_page_max = 1
        assert (await read_table(ERRORS_ZONE, here.means, EPOCH.date() - timedelta(days=2))).rows.num_rows == 2

    run_virtual(main())


def test_what_failed_first_long_ago_and_again_lately_is_found(bed: Callable[..., Bed]) -> None:
    """Its row lies in the first failure's day, in a file that was written lately."""

    async def main() -> None:
        here = bed()
        began = FAILED - timedelta(days=30)
        await here.fail(message("one", "m1", first_failed_at=began), message("long", "m2", after=-30 * 86_400))
        table = await errors_of(choice(), ERRORS_ZONE, here.means)
        [item] = table.items(choice())
        assert (item.message_id, item.first_failed_at, item.rows[0].failed_at) == ("m1", began, FAILED)
        later = choice(since=EPOCH + 2 * timedelta(days=1))
        assert (await errors_of(later, ERRORS_ZONE, here.means)).rows.num_rows == 0, "by when it was written"
        old = choice(since=FAILED - timedelta(days=31))
        assert len((await errors_of(old, ERRORS_ZONE, here.means)).items(old)) == 2

    run_virtual(main())


LONG_AGO = -20 * 86_400.0
"""Seconds before the others failed; files of that day that were not written since are not read."""


def written_long_ago(here: Bed) -> None:
    """All error files that lie there."""
    for uri in [uri for uri in here.store.objects if uri.startswith(ERRORS_ZONE.uri("errors/"))]:
        folder, _, name = uri.rpartition("/")
        here.store.objects[f"{folder}/20251211{name[8:]}"] = here.store.objects.pop(uri)


def test_what_a_replay_has_judged_anew_keeps_its_tries_whatever_is_asked_for(bed: Callable[..., Bed]) -> None:
    """A replay's letter knows of one try; the files of before hold nothing that is chosen."""

    async def main() -> None:
        here, lately = bed(), choice(since=FAILED - timedelta(hours=1))
        lay_raw(here, "a", "b")
        await here.fail(records((0, 0), (1, 0), after=LONG_AGO, attempts=2))
        await here.fail(records((0, 0), after=LONG_AGO + 60, attempts=3, code="bad_time"))
        written_long_ago(here)
        await here.fail(records((0, 0), definition="0b"), message("one", "m1"))
        table = await errors_of(lately, ERRORS_ZONE, here.means)
        [item] = table.items(replace(lately, layer="refine"))
        assert (item.tried, item.first_failed_at, len(item.rows)) == (3, FAILED, 1), "where it is looked for afterwards"
        assert [one.attempts for one in table.examples(item.fingerprint, 1)] == [2]
        groups = {one.code: (one.records, one.first_failed_at) for one in table.groups(lately)}
        assert groups == {"bad_type": (1, FAILED), "unknown_dataset": (1, FAILED)}
        planned = await here.planned(since=lately.since)
        assert (len(planned.items), len(planned.exhausted)) == (1, 1)

    run_virtual(main())


def test_days_of_before_are_read_for_records_that_had_landed_then_and_for_no_others(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here, lately = bed(), choice(since=FAILED - timedelta(hours=1))
        fresh = RAW_FILE.replace("dt=2024-03-04", "dt=2025-12-31")
        lay_raw(here, "a", uri=fresh)
        lay_raw(here, "a")
        await here.fail(records((0, 0), (1, 0), after=LONG_AGO), records((2, 0), uri=fresh, after=LONG_AGO))
        written_long_ago(here)
        await here.fail(records((3, 0), uri=fresh), records((4, 0), after=LONG_AGO), message("one", "m1"))
        assert (await errors_of(lately, ERRORS_ZONE, here.means)).rows.num_rows == 3
        await here.fail(records((0, 0)))
        found = await errors_of(lately, ERRORS_ZONE, here.means)
        told = found.rows.column("row_index").to_pylist()
        assert sorted(told, key=str) == [0, 0, 1, 3, 4, None], "of that raw file and of no other, each file once"

    run_virtual(main())


def test_every_day_is_looked_at_once(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        days = range(2 * DAYS_AT_A_TIME + 3)
        await here.fail(*(message(f"of {day}", f"m{day}", after=-day * 86_400) for day in days))
        table = await read_table(ERRORS_ZONE, here.means, FAILED.date() - timedelta(days=len(days)), days_before=1)
        assert table.rows.num_rows == len(days)

    run_virtual(main())


def test_an_empty_zone_has_no_failures(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        table = await here.error_table()
        assert table.groups(choice()) == []
        assert table.items(choice()) == []

    run_virtual(main())


def test_an_example_shows_the_masked_preview_with_the_field_to_blame(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        text = '{"id": "x", "loan": {"amount": "many"}, "customer": {"document": "123"}, "secret": 1}'
        lay_raw(here, text, '{"id": "y"}')
        await here.fail(records((0, 0), (1, 0)))
        table = await here.error_table()
        [group] = table.groups(choice())
        before = len(here.journal.effects)
        found = await shown(table.examples(group.fingerprint, 5), here.means)
        by_row = {one.example.row_index: one for one in found}
        assert {*by_row[0].fields} == {
            Field("id", '"x"', failed=False),
            Field("amount", '"many"', failed=True),
            Field("document", '"***"', failed=False),
            Field("customer", '"***"', failed=False),
        }
        assert by_row[1].fields[0] == Field("amount", "null", failed=True)
        assert (by_row[0].example.raw_file, by_row[0].example.state) == (RAW_FILE, "open")
        assert len(here.journal.effects) == before
        assert len(table.examples(group.fingerprint, 1)) == 1

    run_virtual(main())


def test_what_cannot_be_shown_is_not(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        await here.fail(message("no JSON", "m1"))
        table = await here.error_table()
        [one] = await shown(table.examples(table.groups(choice())[0].fingerprint, 1), here.means)
        assert one.fields == []
        assert one.example.message_id == "m1"

    run_virtual(main())


def test_of_a_whole_raw_file_and_of_a_record_it_is_said_where_they_lie(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        notice = FileNotice("loans", "raw", [File(RAW_FILE, "e", 1, 1)], [], "b", "", EPOCH).to_json()
        await here.fail(message(notice, "m7", layer="refine", dataset="loans", code="bad_file"), records((3, 1)))
        await here.fail(message("one", "m1"))
        table = await here.error_table()
        groups = table.groups(choice())
        examples = [table.examples(group.fingerprint, 1)[0] for group in groups]
        lines = [example_lines(one).plain.splitlines()[2].strip() for one in await shown(examples, here.means)]
        assert sorted(lines) == [
            "message m1",
            f"{RAW_FILE} as a whole, announced in message m7",
            f"{RAW_FILE} · message 3, record 1",
        ]

    run_virtual(main())


def test_a_preview_too_deep_to_be_read_is_not_shown(bed: Callable[..., Bed]) -> None:
    async def main() -> None:
        here = bed()
        lay_raw(here, '{"id": "x"}')
        await here.fail(records((0, 0)))
        table = await here.error_table()
        [example] = table.examples(table.groups(choice())[0].fingerprint, 1)
        rows = pq.read_table(io.BytesIO(here.store.objects[example.file]))
        deep = '{"id": ' + "[" * 2_000 + "]" * 2_000 + "}"
        number = rows.schema.get_field_index("preview")
        sink = io.BytesIO()
        pq.write_table(rows.set_column(number, "preview", pa.array([deep])), sink)
        here.store.objects[example.file] = sink.getvalue()
        [one] = await shown([example], here.means)
        assert one.fields == []

    run_virtual(main())


def test_a_row_in_memory_is_small(bed: Callable[..., Bed]) -> None:
    """The file's previews and the texts that rows share do not count."""

    async def main() -> None:
        here = bed()
        lay_raw(here, *['{"id": "%s"}' % ("x" * 2_000)] * 1_000)
        await here.fail(records(*((row, 0) for row in range(1_000))))
        table = await here.error_table()
        assert table.rows.nbytes / table.rows.num_rows < 200

    run_virtual(main())
