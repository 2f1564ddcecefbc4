"""How fast what is sent back goes: at most so many messages a second, until somebody stops it."""

from collections.abc import Callable

from service.core.ports import Clock
from service.quarantine.reprocess.claims import Claims

CHUNK = 10
"""Messages in one call, as SQS takes them; stopping and the rate are looked at between two calls."""
WAIT_SECONDS_MAX = 15.0
"""At a slow rate, between two looks at the claims and at whether to stop."""


class Pace:
    """`rate` is in messages a second. While it waits, the letters in hand are kept."""

    def __init__(self, claims: Claims, clock: Clock, *, rate: float, stop: Callable[[], bool]) -> None:
        self._claims = claims
        self._clock = clock
        self._rate = rate
        self._due = 0.0
        self.stop = stop
        """Whether to end it soon."""

    @property
    def chunk(self) -> int:
        """So many messages at once."""
        return min(CHUNK, max(1, int(self._rate)))

    async def turn(self) -> bool:
        """Wait until more may be sent; says whether it may at all."""
        while not self.stop() and (left := self._due - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, WAIT_SECONDS_MAX))
            await self._claims.keep()
        await self._claims.keep()
        return not self.stop()

    def sent(self, messages: int) -> None:
        """So many went just now."""
        self._due = max(self._due, self._clock.monotonic()) + messages / self._rate
