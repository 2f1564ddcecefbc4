"""Every difference of a raw file's figures has one name, and what nothing explains is flagged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from service.quarantine.resolve import ROUND_AGE_MAX
from service.upkeep.books import Booked
from service.upkeep.explain import (
    EXPLAINED,
    MENDS,
    SENT_BACK_MAX,
    SENTENCES,
    Facts,
    Kind,
    Output,
    Rules,
    bounded,
    explain,
)
from service.upkeep.lake import Made, RawFile
from service.upkeep.rejected import Rejected

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(hours=2), NOW - timedelta(minutes=5)
BATCH = "20260101T100000000Z-0123456789abcdef"
RAW = RawFile(f"s3://raw/events/dt=2026-01-01/hr=10/{BATCH}.parquet", BATCH, 100, OLD)
RULES = Rules(NOW, timedelta(minutes=30), versioned=False)
ONE, OTHER = "a" * 12, "b" * 12


def address(definition: str = ONE, day: int = 1) -> str:
    return f"s3://refined/events/dt=2025-12-{day:02d}/{BATCH}.{definition}.parquet"


def booked(uri: str, rows: int, *, inserted: int | None = None, superseded_at: datetime | None = None) -> Booked:
    new = rows if inserted is None else inserted
    moment = OLD.replace(tzinfo=None)
    return Booked(uri, rows, new, rows - new, 0, 100, moment, superseded_at and superseded_at.replace(tzinfo=None))


def output(
    rows: int, definition: str = ONE, day: int = 1, *, stored_at: datetime | None = OLD, ledger: bool = True
) -> Output:
    uri = address(definition, day)
    made = None if stored_at is None else Made(uri, BATCH, 100, stored_at)
    return Output(uri, rows, made, booked(uri, rows) if ledger else None)


def facts(records: int | None, outputs: Sequence[Output], table: int, *, rejected: Rejected | None = None) -> Facts:
    return Facts(RAW.uri, RAW, records, landed_elsewhere=False, outputs=outputs, rejected=rejected or Rejected(),
                 table_rows=table)  # fmt: skip


def found(given: Facts, rules: Rules = RULES) -> list[tuple[str, int]]:
    return [(one.kind, one.count) for one in explain(given, rules)]


@dataclass
class Case:
    why: str
    given: Facts
    found: list[tuple[Kind, int]]


WHOLE = facts(5, [output(3), output(2, day=2)], 5)
SUPERSEDED = output(3)
GONE = replace(output(3), made=None)
CASES = [
    Case("all is well", WHOLE, []),
    Case("all was rejected", facts(5, [], 0, rejected=Rejected(waiting=5)), []),
    Case("on its way", replace(facts(5, [], 0), raw=replace(RAW, stored_at=YOUNG)), [("in_flight", 5)]),
    Case("its notice is lost", facts(5, [], 0), [("not_refined", 5)]),
    Case("nothing refined, one rejected", facts(5, [], 0, rejected=Rejected(waiting=1)), [("not_refined", 4)]),
    Case("landed twice", replace(facts(5, [], 0), landed_elsewhere=True), [("orphan", 5)]),
    Case("rejected whole", facts(5, [], 0, rejected=Rejected(whole=True)), [("rejected_whole", 5)]),
    Case("sent back whole", facts(5, [], 0, rejected=Rejected(whole_sent_back=True)), [("sent_back", 5)]),
    Case(
        "sent back whole, long ago",
        facts(
            5,
            [],
            0,
            rejected=Rejected(whole_sent_back=True, sent_at=(NOW - timedelta(days=17)).replace(tzinfo=None)),
        ),
        [("lost_again", 5)],
    ),
    Case("sent back", facts(5, [output(3)], 3, rejected=Rejected(sent_back=2)), [("sent_back", 2)]),
    Case(
        "sent back long ago",
        facts(
            5,
            [output(3)],
            3,
            rejected=Rejected(sent_back=2, sent_at=(NOW - timedelta(days=16, seconds=1)).replace(tzinfo=None)),
        ),
        [("lost_again", 2)],
    ),
    Case(
        "sent back a fortnight ago",
        facts(
            5, [output(3)], 3, rejected=Rejected(sent_back=2, sent_at=(NOW - timedelta(days=16)).replace(tzinfo=None))
        ),
        [("sent_back", 2)],
    ),
    Case("more is missing", facts(5, [output(2)], 2, rejected=Rejected(sent_back=2)), [("incomplete", 3)]),
    Case("a partition is missing", facts(5, [output(3)], 3), [("incomplete", 2)]),
    Case("unreadable", facts(None, [output(3)], 3), [("unreadable", -3)]),
    Case("the raw file is gone", replace(facts(None, [output(3)], 3), raw=None), [("raw_gone", -3)]),
    Case("more than it holds", facts(2, [output(3)], 3), [("too_many", -1)]),
    Case(
        "under two definitions",
        replace(
            facts(3, [output(3), replace(output(3, OTHER), booked=booked(address(OTHER), 3, inserted=0))], 3),
            again=(3, 3),
        ),
        [("refined_twice", -3)],
    ),
    Case(
        "two definitions, and too many",
        replace(facts(3, [output(4), output(3, OTHER)], 7), again=(3, 3)),
        [("refined_twice", -3), ("too_many", -1)],
    ),
    Case("two definitions, and other records", facts(3, [output(3), output(3, OTHER)], 6), [("too_many", -3)]),
    Case(
        "one came again, and one is missing",
        replace(facts(3, [output(2), output(1, OTHER)], 3), again=(1, 1)),
        [("refined_twice", -1), ("incomplete", 1)],
    ),
    Case(
        "one came again, and one was rejected and passed",
        replace(facts(3, [output(3), output(1, OTHER)], 4, rejected=Rejected(waiting=1)), again=(1, 1)),
        [("refined_twice", -1), ("refined_since", -1)],
    ),
    Case("one definition, twice as much", facts(3, [output(3), output(3, day=2)], 6), [("too_many", -3)]),
    Case(
        "twice in the raw file, and one was rejected and came later",
        replace(facts(2, [output(1), output(1, OTHER)], 2), again=(0, 1)),
        [],
    ),
    Case(
        "refined again, and sent back besides",
        replace(facts(1, [output(1), output(1, OTHER)], 2), again=(0, 1)),
        [("refined_twice", -1)],
    ),
    Case(
        "mended twice over, and one is missing all the same",
        replace(facts(5, [output(1), output(2, OTHER)], 3), again=(1, 2)),
        [("refined_twice", -1), ("incomplete", 3)],
    ),
    Case("rejected, then passed", facts(3, [output(3)], 3, rejected=Rejected(waiting=1)), [("refined_since", -1)]),
    Case("not loaded", facts(3, [output(3, ledger=False)], 0), [("not_loaded", 3)]),
    Case("about to be loaded", facts(3, [output(3, stored_at=YOUNG, ledger=False)], 0), [("in_flight", 3)]),
    Case("one of two not loaded", facts(5, [output(3), output(2, day=2, ledger=False)], 3), [("not_loaded", 2)]),
    Case(
        "a replay that was not loaded",
        replace(facts(3, [output(3), output(3, OTHER, ledger=False)], 3), again=(3, 3)),
        [("refined_twice", -3), ("half_replayed", 3)],
    ),
    Case(
        "two definitions, and neither loaded",
        replace(facts(3, [output(3, ledger=False), output(3, OTHER, ledger=False)], 0), again=(3, 3)),
        [("refined_twice", -3), ("half_replayed", 3), ("half_replayed", 3)],
    ),
    Case("gone from the lake", facts(3, [GONE], 3), [("refined_gone", 3)]),
    Case(
        "superseded, and removed",
        facts(3, [replace(GONE, booked=booked(address(), 3, superseded_at=OLD)), output(3, OTHER)], 3),
        [],
    ),
    Case(
        "superseded, not yet removed",
        facts(3, [replace(SUPERSEDED, booked=booked(address(), 3, superseded_at=YOUNG)), output(3, OTHER)], 3),
        [("in_flight", 3)],
    ),
    Case(
        "superseded, never removed",
        facts(3, [replace(SUPERSEDED, booked=booked(address(), 3, superseded_at=OLD)), output(3, OTHER)], 3),
        [("leftover", 3)],
    ),
    Case(
        "another object than was loaded",
        facts(3, [replace(output(3), booked=replace(booked(address(), 2), content_length_bytes=99))], 2),
        [("other_file", 1)],
    ),
    Case(
        "a ledger row that does not add up",
        facts(3, [replace(output(3), booked=replace(booked(address(), 3), inserted=2))], 2),
        [("ledger_sum", 1)],
    ),
    Case("rows are missing", replace(WHOLE, table_rows=4), [("rows_missing", 1)]),
    Case("rows that nobody loaded", replace(WHOLE, table_rows=6), [("rows_extra", -1)]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_difference_has_its_name(case: Case) -> None:
    assert found(case.given) == case.found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_differences_are_the_sum_of_what_is_said_about_them(case: Case) -> None:
    given = case.given
    live = [one.booked for one in given.outputs if one.booked is not None and one.live]
    told = {"raw": 0, "refined": 0, "table": 0}
    for one in explain(given, RULES):
        if one.equation is not None:
            told[one.equation] += one.count
    assert told == {
        "raw": (given.records or 0) - given.refined_rows - given.rejected.waiting,
        "refined": given.refined_rows - sum(one.inserted + one.duplicate + one.replaced for one in live),
        "table": given.brought - given.table_rows,
    }


def test_where_versions_count_a_row_may_have_given_way() -> None:
    versioned = replace(RULES, versioned=True)
    assert found(replace(WHOLE, table_rows=4), versioned) == [("outranked", 1)]
    assert found(replace(WHOLE, table_rows=6), versioned) == [("rows_extra", -1)]


def test_no_more_rows_have_given_way_than_took_a_place() -> None:
    both = [*explain(replace(WHOLE, table_rows=3), replace(RULES, versioned=True)), *explain(facts(5, [], 0), RULES)]
    again = [*both, *both]
    for replaced, wanted in {
        0: [("rows_missing", 2), ("not_refined", 5)] * 2,
        1: [("outranked", 1), ("rows_missing", 1), ("not_refined", 5), ("rows_missing", 2), ("not_refined", 5)],
        3: [("outranked", 2), ("not_refined", 5), ("outranked", 1), ("rows_missing", 1), ("not_refined", 5)],
        4: [("outranked", 2), ("not_refined", 5)] * 2,
        9: [("outranked", 2), ("not_refined", 5)] * 2,
    }.items():
        assert [(one.kind, one.count) for one in bounded(again, replaced)] == wanted


def test_what_was_sent_back_is_explained_for_longer_than_rounds_are_waited_for() -> None:
    assert SENT_BACK_MAX > ROUND_AGE_MAX


def test_every_kind_has_a_sentence_and_what_is_mended_is_flagged() -> None:
    assert {*SENTENCES} == {*get_args(Kind)}
    assert not {*MENDS} & EXPLAINED
    assert [one.mend for one in explain(facts(5, [], 0), RULES)] == ["announce"]
