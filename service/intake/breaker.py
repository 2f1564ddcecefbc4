"""A circuit breaker for one dependency: while it is open nobody tries, then one does for all.

Open for a while after a failure (longer after each, with jitter); then half open: one piece of work tries. When that
fails the breaker opens again; when it gets through, or has been at it for so long that the dependency evidently
answers, all others may.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress

from service.core.ports import Clock
from service.core.retry import Backoff

TRIAL_SECONDS_MAX = 30.0
"""As long as connecting may take: who has not failed by then is through, though its work may go on for long."""


class Breaker:
    """Open, half open or closed. It starts closed."""

    def __init__(self, *, backoff: Backoff, draining: asyncio.Event, clock: Clock) -> None:
        self._backoff = backoff
        self._draining = draining
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self._trial: Hashable | None = None
        self._changed = asyncio.Event()

    def failed(self, work: Hashable) -> float:
        """That piece of work could not reach the dependency; returns how long nobody tries.

        What was under way when the breaker opened and fails later says nothing new.
        """
        now = self._clock.monotonic()
        if work == self._trial or (self._trial is None and now >= self._until):
            self._failures += 1
            self._until = now + self._backoff.seconds(self._failures)
            self._turn(None)
        return max(0.0, self._until - now)

    def passed(self, work: Hashable) -> None:
        """That piece of work got through, met something else, or was given up: if it was the trial, all may try."""
        if work == self._trial:
            self._failures = 0
            self._turn(None)

    async def admit(self, work: Hashable) -> None:
        """Wait until that piece of work may try again. Draining ends the wait at once."""
        while self._failures and not self._draining.is_set():
            left = self._until - self._clock.monotonic()
            if left > 0:
                await _first(self._draining, left)
            elif self._trial is None:
                self._turn(work)
                return
            elif not await _first(self._changed, TRIAL_SECONDS_MAX):
                return

    def _turn(self, trial: Hashable | None) -> None:
        self._trial = trial
        self._changed.set()
        self._changed = asyncio.Event()


async def _first(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event came within that time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
