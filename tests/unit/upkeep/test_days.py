"""What an operator writes as days."""

from datetime import date

import pytest

from service.core.errors import SetupError
from service.upkeep.days import Days


def test_both_ends_belong_to_the_range() -> None:
    days = Days.parse("2025-12-31", "2026-01-02")
    assert list(days) == [date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2)]
    assert [days.hold(f"{day}T235959999Z-0") for day in ("20251230", "20251231", "20260102", "20260103")] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("2026-01-02", "2026-01-01", r"--from 2026-01-02 is after --to 2026-01-01: give the earlier day first"),
        ("yesterday", "2026-01-01", r"--from 'yesterday' is no date: write it as 2026-01-31"),
        ("2026-01-01", "2026-02-30", r"--to '2026-02-30' is no date"),
        ("2006-01-01", "2026-01-01", r"more than 3660 days: take fewer at a time"),
    ],
)
def test_a_range_that_is_none_gets_one_sentence(first: str, last: str, sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        Days.parse(first, last)
