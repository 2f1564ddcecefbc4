"""Moments: in files and tables without their zone, in messages with it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.core.moments import EARLIEST, failing_moment, first_of, naive, sql_moment, utc

NOON = datetime(2024, 3, 4, 12, 0, 0, 7, UTC)
ELSEWHERE = NOON.astimezone(timezone(timedelta(hours=5)))
STORED = datetime(2024, 3, 4, 12, 0, 0, 7)  # noqa: DTZ001 (as tables hold it)


@pytest.mark.parametrize("moment", [NOON, ELSEWHERE, STORED])
def test_a_moment_is_stored_in_utc_without_its_zone(moment: datetime) -> None:
    assert naive(moment) == STORED
    assert utc(naive(moment)) == NOON
    assert sql_moment(moment) == "2024-03-04 12:00:00.000007"


@pytest.mark.parametrize("written", [NOON.isoformat(), ELSEWHERE.isoformat(), EARLIEST.isoformat()])
def test_a_told_moment_is_read_as_utc(written: str) -> None:
    found = failing_moment(written)
    assert found == datetime.fromisoformat(written)
    assert found.tzinfo is UTC


def test_nothing_may_be_told() -> None:
    assert failing_moment(None) is None


@pytest.mark.parametrize(
    "given",
    [
        "",
        "soon",
        5,
        "2024-03-04T12:00:00",
        "1999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
    ],
)
def test_what_cannot_be_when_something_failed_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        failing_moment(given)


def test_the_first_failure_is_never_later_than_this_one() -> None:
    assert first_of(None, NOON) == NOON
    assert first_of(NOON - timedelta(days=1), NOON) == NOON - timedelta(days=1)
    assert first_of(NOON + timedelta(days=1), NOON) == NOON
