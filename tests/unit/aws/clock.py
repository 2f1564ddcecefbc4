"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2024, 3, 4, 12, tzinfo=UTC)


class HandClock:
    """The `Clock` port, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self.seconds

    def now(self) -> datetime:
        """An epoch and those seconds."""
        return EPOCH + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        """Nothing here sleeps."""
        raise AssertionError
