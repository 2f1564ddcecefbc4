"""How long to wait before the same work is tried again: exponential, capped, with full jitter.

The random source is handed in, because a simulation must draw the same waits from the same seed; the libraries for
this draw from the process-wide source.
"""

import random
from dataclasses import dataclass


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
