"""Deadlines."""

from datetime import UTC, datetime

import pytest

from service.core.clock import Deadline


class StoppedClock:
    """Time stands where the test puts it."""

    at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime(2024, 3, 4, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(("passed", "remaining"), [(0, 10), (4, 6), (10, 0), (99, 0)])
def test_a_deadline_counts_down_and_never_below_zero(passed: float, remaining: float) -> None:
    clock = StoppedClock()
    deadline = Deadline.after(10, clock)
    clock.at += passed
    assert deadline.remaining_seconds() == remaining
