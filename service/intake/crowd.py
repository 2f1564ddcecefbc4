"""Whether the queue has so many messages in flight, all processes together, that it hands out no more.

A long poll that meets SQS's ceiling of 120,000 gets no error: it gets nothing (AWS: SQS quotas). So an empty poll of a
queue that holds a backlog tells, and so does a queue near the ceiling; then batches close sooner, because settling is
all that helps.
"""

from service.core.errors import SetupError, TransientError
from service.core.events import QueueCrowded, QueueLooked
from service.core.ports import Clock, Emit, Queue

LOOK_SECONDS_MIN = 30.0
"""Between two questions: the answers are up to a minute old."""
BACKLOG_MIN = 100
"""A few messages that came just after the poll are no backlog."""
IN_FLIGHT_MAX = 100_000
"""Near the ceiling."""


class Crowd:
    """Asks a queue for its depth now and then, after a poll of it."""

    def __init__(self, layer: str, queue: Queue, *, clock: Clock, emit: Emit) -> None:
        self._layer = layer
        self._queue = queue
        self._clock = clock
        self._emit = emit
        self._looked_at = float("-inf")
        self.close_sooner = False
        """Set when the queue is crowded, until what was held then is sealed."""

    async def look(self, *, empty: bool) -> bool:
        """Whether the queue is crowded, after a poll that brought nothing or something.

        A queue that does not answer is not.
        """
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_SECONDS_MIN:
            return False
        self._looked_at = now
        try:
            depth = await self._queue.depth()
        except (TransientError, SetupError):
            return False
        self._emit(QueueLooked(self._layer, depth.waiting, depth.in_flight))
        if not (empty and depth.waiting >= BACKLOG_MIN) and depth.in_flight < IN_FLIGHT_MAX:
            return False
        self._emit(QueueCrowded(self._layer, depth.waiting, depth.in_flight))
        self.close_sooner = True
        return True
