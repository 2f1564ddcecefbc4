"""Trying the same work again: what for, how long to wait, and until when. Exponential waits, capped, with full jitter.

Only an outage (TransientError) and a fault of set-up (SetupError) are tried again, where the caller names them; the
SDK's own tries, a few a call, lie below. A layer's work is tried again by `intake/trouble.py`, with the same waits,
because there one piece of work tries for all.

The random source is handed in, because a simulation must draw the same waits from the same seed; the libraries for
this draw from the process-wide source.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from service.core.errors import SetupError, TransientError

R = TypeVar("R")

Down = TransientError | SetupError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between `first` / 2 and `first` seconds at first, doubling to at most `most` seconds."""

    first_seconds: float
    most_seconds: float
    random: random.Random

    def __post_init__(self) -> None:
        assert 0 < self.first_seconds <= self.most_seconds

    def seconds(self, attempt: int) -> float:
        """The wait after that many failures in a row (1 for the first)."""
        ceiling = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 32))
        return ceiling / 2 + self.random.random() * ceiling / 2


async def persist(
    work: Callable[[], Awaitable[R]],
    *,
    on: tuple[type[TransientError | SetupError], ...],
    backoff: Backoff,
    rest: Callable[[Down, float], Awaitable[bool]],
) -> R | None:
    """Do the work again while it fails in one of these ways; None when it was given up.

    `rest` is told what failed and for how many seconds it should wait; it says whether to go on.
    """
    failures = 0
    while True:
        try:
            return await work()
        except on as down:
            failures += 1
            if not await rest(down, backoff.seconds(failures)):
                return None
