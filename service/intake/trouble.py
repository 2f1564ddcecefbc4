"""A dependency is down, or an operator must act: the layer pauses, says so, waits, and tries the same work again."""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from service.core.errors import DatasetSetupError, SetupError, TransientError
from service.core.events import LayerPaused, LayerResumed, WorkFailed
from service.core.ports import Emit
from service.core.retry import Backoff

Down = TransientError | SetupError


@dataclass(slots=True)
class _Open:
    failures: int
    last: Down


class Trouble:
    """What stands in a layer's way, by piece of work. While anything does, the layer is not ready and says why.

    It receives nothing new meanwhile, unless only single datasets are in trouble: the others go on.
    """

    def __init__(self, layer: str, *, backoff: Backoff, draining: asyncio.Event, emit: Emit) -> None:
        self._layer = layer
        self._backoff = backoff
        self._draining = draining
        self._emit = emit
        self._open: dict[Hashable, _Open] = {}

    def __bool__(self) -> bool:
        return any(not isinstance(one.last, DatasetSetupError) for one in self._open.values())

    def __contains__(self, work: Hashable) -> bool:
        return work in self._open

    def of_dataset(self, work: Hashable) -> bool:
        """Whether that piece of work waits for what only its own dataset lacks."""
        return work in self._open and isinstance(self._open[work].last, DatasetSetupError)

    async def wait(self, work: Hashable, down: Down) -> None:
        """Wait before that piece of work is tried again, longer after each failure. Draining cuts it short."""
        if not self._open:
            self._emit(LayerPaused(self._layer, str(down)))
        entry = self._open.setdefault(work, _Open(0, down))
        entry.failures += 1
        entry.last = down
        seconds = self._backoff.seconds(entry.failures)
        kind: Literal["setup", "transient"] = "setup" if isinstance(down, SetupError) else "transient"
        self._emit(WorkFailed(self._layer, kind, str(down), seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def over(self, work: Hashable) -> None:
        """That piece of work got through, or was given back."""
        if self._open.pop(work, None) is not None and not self._open:
            self._emit(LayerResumed(self._layer))
