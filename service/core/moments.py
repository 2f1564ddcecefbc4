"""Moments as files, tables and messages hold them. Inside the service a moment has its zone, and that is UTC."""

from datetime import UTC, datetime

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing has failed before: error files of older days are loaded by nobody."""


def naive(moment: datetime) -> datetime:
    """A moment as files and tables hold it: UTC without a zone. One without a zone is that already."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def utc(moment: datetime) -> datetime:
    """A moment as files and tables hold it, with its zone."""
    return moment.replace(tzinfo=UTC)


def sql_moment(moment: datetime) -> str:
    """A moment as the warehouse's tables have it, as text: UTC, without a zone."""
    return naive(moment).isoformat(sep=" ")


def failing_moment(given: object) -> datetime | None:
    """When something failed, as a mark or a notice tells it: None where it tells nothing. UTC.

    Raises ValueError for what is no moment with its zone, or lies before `EARLIEST`.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise ValueError("no moment is written so")  # noqa: TRY004 (a text of that kind is as wrong as any other)
    moment = datetime.fromisoformat(given)
    if moment.tzinfo is None or not EARLIEST <= moment <= datetime.max.replace(tzinfo=UTC):
        raise ValueError("a moment without its zone, or before there was anything to fail")
    return moment.astimezone(UTC)


def first_of(told: datetime | None, now: datetime) -> datetime:
    """When something that fails now has failed first, by what is told of earlier rounds: never later than now."""
    return now if told is None else min(told, now)
