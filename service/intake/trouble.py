"""A dependency is down, or an operator must act: the layer pauses, says so, waits, and tries the same work again."""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from service.core.errors import ContendedError, DatasetSetupError, SetupError, TransientError
from service.core.events import LayerPaused, LayerResumed, WorkFailed
from service.core.ports import Clock, Emit
from service.core.retry import Backoff, Down
from service.intake.breaker import Breaker


@dataclass(slots=True)
class _Open:
    failures: int
    last: Down


class Trouble:
    """What stands in a layer's way, by piece of work. While anything does, the layer is not ready and says why.

    It receives nothing new meanwhile, unless only single datasets are in trouble: the others go on. A dataset that
    waits because somebody else is at its table is no reason for the layer to be unready.
    """

    def __init__(self, layer: str, *, backoff: Backoff, draining: asyncio.Event, clock: Clock, emit: Emit) -> None:
        self._layer = layer
        self._backoff = backoff
        self._draining = draining
        self._clock = clock
        self._emit = emit
        self._open: dict[Hashable, _Open] = {}
        self._breakers: dict[str, Breaker] = {}

    def __bool__(self) -> bool:
        return any(not _of_dataset(one.last) for one in self._open.values())

    def __contains__(self, work: Hashable) -> bool:
        return work in self._open

    def of_dataset(self, work: Hashable) -> bool:
        """Whether that piece of work waits for what concerns its own dataset alone."""
        return work in self._open and _of_dataset(self._open[work].last)

    async def wait(self, work: Hashable, down: Down) -> None:
        """Wait before that piece of work is tried again. Draining cuts it short.

        What concerns one dataset waits for itself, longer after each failure. A dependency that is down has a breaker,
        which lets one piece of work try for all.
        """
        paused = self._paused()
        entry = self._open.setdefault(work, _Open(0, down))
        entry.failures += 1
        entry.last = down
        if not paused and self._paused():
            self._emit(LayerPaused(self._layer, str(down)))
        breaker = None if _of_dataset(down) else self._breaker(down)
        for other in self._breakers.values():
            if other is not breaker:
                other.passed(work)
        seconds = self._backoff.seconds(entry.failures) if breaker is None else breaker.failed(work)
        kind: Literal["setup", "transient"] = "setup" if isinstance(down, SetupError) else "transient"
        self._emit(WorkFailed(self._layer, kind, str(down), seconds))
        if breaker is not None:
            await breaker.admit(work)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def over(self, work: Hashable) -> None:
        """That piece of work got through, or was given back."""
        paused = self._paused()
        self._open.pop(work, None)
        for breaker in self._breakers.values():
            breaker.passed(work)
        if paused and not self._paused():
            self._emit(LayerResumed(self._layer))

    def _paused(self) -> bool:
        return any(not isinstance(one.last, ContendedError) for one in self._open.values())

    def _breaker(self, down: Down) -> Breaker:
        name = down.dependency if isinstance(down, TransientError) else "setup"
        return self._breakers.setdefault(
            name, Breaker(backoff=self._backoff, draining=self._draining, clock=self._clock)
        )


def _of_dataset(down: Down) -> bool:
    return isinstance(down, DatasetSetupError | ContendedError)
