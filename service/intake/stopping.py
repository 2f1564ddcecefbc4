"""What a layer that was asked to stop still begins, and when it lets go of what runs.

A batch is begun only where the slowest of late would end in time. What runs is waited for until a little before the
deadline, then left: a COPY is rolled back with its connection, an object may be stored without its notice, and the
messages, given back, bring the same work again. So the process ends by itself, in time.
"""

import asyncio
import math
from collections import deque

from service.core.clock import LETTING_GO_SECONDS, Deadline

REMEMBERED = 20
"""Batches, of which the slowest counts."""


class Stopping:
    """Asked for once, with the one deadline of the process."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._deadline: Deadline | None = None
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    def ask(self, deadline: Deadline) -> None:
        """Stop by then."""
        self._deadline = deadline
        self.asked.set()

    def took(self, seconds: float) -> None:
        """A batch took that long, from being sealed to being settled."""
        self._recent.append(seconds)

    def worth_beginning(self) -> bool:
        """Whether one more batch should end in time; where nothing is known yet, it is tried."""
        return self.let_go_seconds() > max(self._recent, default=0.0)

    def let_go_seconds(self) -> float:
        """How long until what still runs is left; without end while nobody asked."""
        if self._deadline is None:
            return math.inf
        return max(0.0, self._deadline.remaining_seconds() - LETTING_GO_SECONDS)
