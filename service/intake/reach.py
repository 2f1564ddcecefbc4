"""Ready means reached: each dependency is asked once at the start, until it answers.

Later the layers' own work tells; a warehouse that is asked every few seconds would be billed for it (Redshift
Serverless). Nothing here stops the layers: what they meet themselves they wait for themselves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from service.core.clock import Deadline
from service.core.errors import SetupError, TransientError
from service.core.events import LayerPaused, LayerResumed
from service.core.ports import Emit
from service.core.retry import Backoff, Down, persist

Check = Callable[[], Awaitable[object]]


class Reach:
    """Runs beside the layers, and has nothing to drain."""

    def __init__(self, checks: Mapping[str, Check], *, backoff: Backoff, emit: Emit) -> None:
        self._checks = checks
        self._backoff = backoff
        self._emit = emit
        self._draining = asyncio.Event()

    def drain(self, deadline: Deadline) -> None:  # noqa: ARG002 (has nothing that takes long)
        """Ask no more."""
        self._draining.set()

    async def run(self) -> None:
        """Ask until all have answered, or we are drained."""
        for name in self._checks:
            self._emit(LayerPaused(name, "not reached yet"))
        async with asyncio.TaskGroup() as group:
            asking = [
                group.create_task(self._until_reached(name, check), name=f"reach {name}")
                for name, check in self._checks.items()
            ]
            await self._draining.wait()
            for task in asking:  # one may hang
                task.cancel()

    async def _until_reached(self, name: str, check: Check) -> None:
        async def rest(down: Down, seconds: float) -> bool:
            self._emit(LayerPaused(name, str(down)))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._draining.wait()
            return not self._draining.is_set()

        async def reached() -> bool:
            await check()
            return True

        if await persist(reached, on=(TransientError, SetupError), backoff=self._backoff, rest=rest):
            self._emit(LayerResumed(name))
