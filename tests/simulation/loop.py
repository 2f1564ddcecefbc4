"""The simulation's event loop: virtual time, and a count of the tasks that are under way."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.fakes.time import VirtualLoop

T = TypeVar("T")


class CountingLoop(VirtualLoop):
    """As often as processes ask, going through all that asyncio still knows (`asyncio.all_tasks`) takes too long."""

    def __init__(self) -> None:
        self._begun: list[asyncio.Task[Any]] = []
        super().__init__()

    def create_task(self, *given: Any, **named: Any) -> asyncio.Task[Any]:
        """As ever, and remembered."""
        task: asyncio.Task[Any] = super().create_task(*given, **named)
        self._begun.append(task)
        return task

    def tasks(self) -> int:
        """How many have not ended."""
        self._begun = [task for task in self._begun if not task.done()]
        return len(self._begun)


def tasks() -> int:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    return loop.tasks()


def run_counting(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(main)
