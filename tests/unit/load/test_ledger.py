"""What the ledger's rows say: which units are done, and what a replay puts out of use."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from service.core.notice import File, Replaces
from service.load.ledger import Entry, Fate, Known, Unit, in_vain, loaded, settled, superseding, where

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAW = "s3://raw/events/dt=2026-02-01/hr=10/20260201T100000000Z-00000000000000aa.parquet"
OTHER = "s3://raw/events/dt=2026-02-01/hr=10/20260201T100000000Z-00000000000000bb.parquet"


def uri(definition: int, *, day: int = 1, raw: str = RAW) -> str:
    batch = raw.rpartition("/")[2].removesuffix(".parquet")
    return f"s3://refined/events/dt=2026-02-{day:02d}/{batch}.{definition:012x}.parquet"


def file(address: str, rows: int = 3) -> File:
    return File(address, "etag", 10, rows)


def replay(hour: int, new: list[str], old: list[str]) -> Unit:
    """A replay whose notice was written at that hour."""
    moment = NOW + timedelta(hours=hour)
    return Unit(tuple(map(file, new)), moment, Replaces(RAW, tuple(old)))


def after(known: Known, *units: Unit) -> dict[str, Entry]:
    """The ledger once these units are loaded."""
    fates = {u: Fate(inserted=3, replaced=0, duplicate=0) for unit in units for u in unit.uris}
    rows = [*loaded(units, fates, "g", NOW), *superseding(units, known, NOW)]
    return dict(known) | {row.uri: row for row in rows}


PLAIN = Unit((file(uri(1)),), NOW)


def test_a_file_is_settled_once_the_ledger_has_it_whoever_announces_it() -> None:
    assert not settled(PLAIN, {})
    known = after({}, PLAIN)
    assert settled(PLAIN, known)
    assert settled(replace(PLAIN, produced_at=NOW + timedelta(days=9)), known)
    assert not settled(Unit((file(uri(1, day=2)),), NOW), known)


def test_a_replay_is_settled_when_it_took_place_and_so_are_the_files_it_replaced() -> None:
    known = after({}, PLAIN)
    mended = replay(1, [uri(2)], [uri(1)])
    assert not settled(mended, known)
    known = after(known, mended)
    assert settled(mended, known)
    assert settled(PLAIN, known)
    assert known[uri(1)].superseded_at == datetime(2026, 3, 1, 13)  # noqa: DTZ001
    assert known[uri(1)].row_count == 3
    assert known[uri(2)].superseded_at is None


def test_a_replay_supersedes_files_that_were_never_loaded_and_files_that_it_does_not_name() -> None:
    stray = Unit((file(uri(3, day=9)),), NOW)
    known = after(after({}, stray), replay(1, [uri(2)], [uri(1)]))
    assert known[uri(1)].superseded_at is not None
    assert known[uri(1)].row_count == 0
    assert known[uri(3, day=9)].superseded_at is not None
    assert settled(PLAIN, known)


def test_going_back_to_the_old_definition_works_and_a_late_copy_of_the_first_replay_does_not() -> None:
    first, back = replay(1, [uri(2)], [uri(1)]), replay(2, [uri(1)], [uri(2)])
    known = after(after({}, PLAIN), first)
    assert not settled(back, known)
    known = after(known, back)
    assert settled(back, known)
    assert settled(first, known)
    assert in_vain([first, back], known) == [uri(2)]
    assert known[uri(1)].superseded_at is None


def test_a_replay_that_comes_after_a_later_one_changes_nothing_and_its_files_are_in_vain() -> None:
    late, first = replay(2, [uri(3)], [uri(1)]), replay(1, [uri(2)], [uri(1)])
    known = after(after({}, PLAIN), late)
    assert settled(first, known)
    assert in_vain([first], known) == [uri(1), uri(2)]


def test_a_replay_with_the_same_definition_loads_the_same_files_again() -> None:
    known = after({}, PLAIN)
    again = replay(1, [uri(1)], [uri(1)])
    assert not settled(again, known)
    known = after(known, again)
    assert settled(again, known)
    assert known[uri(1)].superseded_at is None
    assert in_vain([again], known) == []


def test_a_replay_that_leaves_nothing_is_settled_when_what_it_replaced_is_superseded() -> None:
    known = after({}, PLAIN)
    nothing = replay(1, [], [uri(1)])
    assert not settled(nothing, known)
    assert settled(nothing, after(known, nothing))


def test_files_that_were_loaded_under_the_new_definition_before_its_replay_are_loaded_again() -> None:
    known = after(after({}, PLAIN), Unit((file(uri(2)),), NOW))
    assert not settled(replay(1, [uri(2)], [uri(1)]), known)


def test_other_raw_files_are_nobodys_business() -> None:
    neighbour = Unit((file(uri(1, raw=OTHER)),), NOW)
    known = after(after({}, neighbour), replay(1, [uri(2)], [uri(1)]))
    assert known[uri(1, raw=OTHER)].superseded_at is None
    assert in_vain([replay(1, [uri(2)], [uri(1)])], known) == [uri(1)]


def test_the_rows_asked_for_are_those_of_the_files_and_of_their_batches() -> None:
    batch = "20260201T100000000Z-00000000000000aa"
    assert where([PLAIN]) == f"uri IN ('{uri(1)}') OR batch_id IN ('{batch}')"
    asked = where([replay(1, [uri(2)], [uri(1)])])
    assert asked == f"uri IN ('{uri(1)}', '{uri(2)}') OR batch_id IN ('{batch}')"


def test_a_row_is_written_in_the_order_of_the_columns() -> None:
    [entry] = loaded([PLAIN], {uri(1): Fate(1, 0, 2)}, "g'1", NOW)
    assert entry.values() == (
        f"('{uri(1)}', 'etag', 3, 1, 2, 0, 10, 'g''1', '2026-03-01 12:00:00', "
        "'20260201T100000000Z-00000000000000aa', '2026-03-01 12:00:00', NULL)"
    )
