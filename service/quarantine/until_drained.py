"""Work that runs beside the layers until it is drained, and no longer than the deadline of the stop allows."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from service.core.clock import LETTING_GO_SECONDS, Deadline


class UntilDrained:
    """The life of a worker: `draining` is set when it is asked to end; what still runs a little before the deadline is
    cancelled.
    """

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self._life: asyncio.Timeout | None = None

    def drain(self, deadline: Deadline) -> None:
        """End by then."""
        self.draining.set()
        if self._life is not None:
            seconds = max(0.0, deadline.remaining_seconds() - LETTING_GO_SECONDS)
            self._life.reschedule(asyncio.get_running_loop().time() + seconds)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, which ends when it sees that it is drained."""
        life = self._life = asyncio.timeout(None)
        try:
            async with life:
                await work()
        except TimeoutError:
            if not life.expired():
                raise
        finally:
            self._life = None

    async def rest(self, seconds: float) -> None:
        """Wait so long, or until drained."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.draining.wait()
