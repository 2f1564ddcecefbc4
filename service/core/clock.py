"""Time as a value: the system's clock behind the `Clock` port, and the one deadline that a drain hands down."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from service.core.ports import Clock

LETTING_GO_SECONDS = 8.0
"""Of a deadline, kept back for leaving what will not end in time and for giving its messages back."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean something."""
        return time.monotonic()

    def now(self) -> datetime:
        """The present moment in UTC; it may jump when the machine's clock is set."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait that long; leaves nothing behind when cancelled."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, passed down so that each step asks what remains."""

    at: float
    clock: Clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> "Deadline":
        """The deadline that many seconds from now."""
        return cls(clock.monotonic() + seconds, clock)

    def remaining_seconds(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock.monotonic())
