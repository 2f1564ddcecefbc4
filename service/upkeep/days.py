"""Which days of arrival an operator means, UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from service.core.errors import SetupError

DAYS_MAX = 3_660


@dataclass(frozen=True, slots=True)
class Days:
    """From the first day to the last, both included."""

    first: date
    last: date

    @classmethod
    def parse(cls, first: str, last: str) -> "Days":
        """Read two dates; raises SetupError with one sentence where they are none, or the wrong way round."""
        days = cls(_date("--from", first), _date("--to", last))
        if days.last < days.first:
            raise SetupError(f"--from {first} is after --to {last}: give the earlier day first")
        if (days.last - days.first).days >= DAYS_MAX:
            raise SetupError(f"--from {first} --to {last} is more than {DAYS_MAX} days: take fewer at a time")
        return days

    def __iter__(self) -> Iterator[date]:
        """Every day in order."""
        return (self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))

    def __str__(self) -> str:
        """As an operator would say it."""
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"

    def hold(self, batch_id: str) -> bool:
        """Whether the landed batch of that id arrived on one of these days: its id begins with its moment."""
        return f"{self.first:%Y%m%d}" <= batch_id[:8] <= f"{self.last:%Y%m%d}"


def _date(option: str, written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise SetupError(f"{option} {written!r} is no date: write it as 2026-01-31") from None
