"""On a narrow terminal no fingerprint and no figure is cut: what has no room beside stands beneath."""

import io
import itertools
from datetime import date, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from service.commands.failures import groups_table
from service.commands.report import Account, Sheet, plan_table
from service.quarantine.reprocess.table import Group
from service.upkeep.reconcile import Day, Figures
from service.upkeep.replay import DayPlan, Plan

FINGERPRINT = "8c54f3cb094e63ff"
SENTENCE = "column transition: longer than 16 bytes"
FIGURES = Figures(
    12, 7_654_321, 7_654_320, 9_234_567, 9_234_566, 3, 9_234_265, 301, 0, 9_000_001, 234_264, 17, 8_000_000
)


def group(records: int = 100) -> Group:
    moments = datetime(2026, 1, 1, 3, 11), datetime(2026, 1, 2, 4, 12)  # noqa: DTZ001 (only printed)
    where = ("refine", "loan_events", "too_long", "transition", SENTENCE)
    return Group(FINGERPRINT, *where, records, records, records, records, records, *moments)


def printed(what: RenderableType, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), highlight=False, width=columns)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= columns for line in lines)
    return [line.rstrip() for line in lines]


def test_failures_stand_under_their_figures_where_there_is_no_room_beside() -> None:
    assert printed(groups_table([group(), group(2)]), 80) == [
        "fingerprint       records  open  reprocessed  resolved  parked",
        "8c54f3cb094e63ff      100   100          100       100     100",
        "  01-01 03:11 to 01-02 04:12, too_long in loan_events (refine, transition)",
        f"  {SENTENCE}",
        "8c54f3cb094e63ff        2     2            2         2       2",
        "  01-01 03:11 to 01-02 04:12, too_long in loan_events (refine, transition)",
        f"  {SENTENCE}",
    ]


@pytest.mark.parametrize("columns", [40, 62, 79, 80, 90, 100, 109, 110, 111, 119, 120, 130, 200])
@pytest.mark.parametrize("records", [1, 1_234, 1_234_567])
def test_nothing_of_a_fingerprint_is_cut_however_narrow_the_terminal(columns: int, records: int) -> None:
    words = " ".join(printed(groups_table([group(records)]), columns)).split()
    assert words.count(FINGERPRINT) == 1
    assert words.count(f"{records:,}") == 5
    assert {"01-01", "03:11", "01-02", "transition)", *SENTENCE.split()} <= {word.rstrip(",") for word in words}


def test_with_room_enough_failures_are_one_table() -> None:
    head, first, *_ = printed(groups_table([group()]), 120)
    assert head == "fingerprint       records  open  reprocessed  resolved  parked  first        last         what"
    assert first.split()[:8] == [FINGERPRINT, *["100"] * 5, "01-01", "03:11"]


@pytest.mark.parametrize("columns", [40, 80, 90, 100, 117, 120, 160])
def test_days_are_reconciled_side_by_side_without_cutting_a_figure(columns: int) -> None:
    account = Account(timedelta(minutes=30))
    account.add(Day(date(2026, 11, 23), FIGURES, []))
    account.add(Day(date(2026, 11, 24), FIGURES, []))
    lines = printed(account.figures(), columns)
    assert "…" not in "".join(lines)
    told = [line.split()[1:] for line in lines if line.startswith("2026-11-23")]
    assert [*itertools.chain(*told)] == [
        "12", "7,654,321", "7,654,320", "9,234,567", "9,234,566", "9,234,265", "301", "9,000,001", "234,264", "17",
        "8,000,000",
    ]  # fmt: skip
    names = [line.split() for line in lines if line.startswith("day")]
    assert len(told) == len(names)
    assert "18,469,134" in " ".join(lines)


def test_a_sheet_has_as_many_columns_beside_each_other_as_there_is_room_for() -> None:
    sheet = Sheet(["day", "a", "bbb"], [["monday", "1,000", "2"], ["tue", "3", "4"]])
    beside = ["day         a  bbb", "monday  1,000    2", "tue         3    4"]
    assert printed(sheet, 18) == beside
    assert printed(sheet, 17) == [
        "day         a",
        "monday  1,000",
        "tue         3",
        "",
        "day     bbb",
        "monday    2",
        "tue       4",
    ]


def test_the_plan_of_a_replay_is_not_cut_either() -> None:
    day = DayPlan(date(2026, 11, 23), 1_234_567, 5_678 * 1_048_576, 3_456_789, 4_567_890)
    head, figures, _, more, others = printed(plan_table(Plan([day], None)), 50)
    assert head.split() == ["day", "raw", "files", "MiB", "rows", "now"]
    assert figures.split() == ["2026-11-23", "1,234,567", "5,678.0", "3,456,789"]
    assert (more.split(), others.split()) == (["day", "replayed", "already"], ["2026-11-23", "4,567,890"])
