"""A dependency is down, or an operator must act: the layer pauses, says so, waits, and tries the same work again."""

import asyncio
from contextlib import suppress

from service.core.errors import SetupError, TransientError
from service.core.events import LayerPaused, LayerResumed, WorkFailed
from service.core.ports import Emit
from service.core.retry import Backoff

Down = TransientError | SetupError


class Trouble:
    """What stands in a layer's way. While anything does, the layer receives nothing new and is not ready."""

    def __init__(self, layer: str, *, backoff: Backoff, draining: asyncio.Event, emit: Emit) -> None:
        self._layer = layer
        self._backoff = backoff
        self._draining = draining
        self._emit = emit
        self._open = 0

    def __bool__(self) -> bool:
        return self._open > 0

    async def wait(self, down: Down, attempt: int) -> None:
        """Wait before the next try; `attempt` counts failures in a row of one piece of work. Draining cuts it short."""
        if attempt == 1:
            self._open += 1
            if self._open == 1:
                self._emit(LayerPaused(self._layer, str(down)))
        seconds = self._backoff.seconds(attempt)
        self._emit(
            WorkFailed(self._layer, "setup" if isinstance(down, SetupError) else "transient", str(down), seconds)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def over(self, attempt: int) -> None:
        """That piece of work got through, or was given back, after that many failures."""
        if attempt:
            self._open -= 1
            if self._open == 0:
                self._emit(LayerResumed(self._layer))
