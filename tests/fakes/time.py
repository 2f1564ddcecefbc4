"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting, and a clock that follows it."""

import asyncio
import itertools
import selectors
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from tests.fakes.queue import EPOCH

P = ParamSpec("P")
R = TypeVar("R")

VIRTUAL_SECONDS_MAX = 100_000.0


class StuckError(Exception):
    """Nothing is ready and no timer is set: the program would wait for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits. For programs whose only outside world is fakes and whose threads run inline."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._jump))
        numbers = itertools.count()
        self.set_task_factory(lambda loop, work, **given: _Task(next(numbers), work, loop=loop, **given))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def _jump(self, seconds: float | None) -> None:
        if seconds is None:
            raise StuckError
        self._now += seconds
        if self._now > VIRTUAL_SECONDS_MAX:
            raise StuckError(f"still busy after {VIRTUAL_SECONDS_MAX:.0f} virtual seconds")


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._jump(timeout)
        return ready


class _Task(asyncio.Task[Any]):
    """asyncio keeps tasks in sets, in whose order a group cancels them: numbers make that order the same every time."""

    def __init__(self, number: int, work: Any, **given: Any) -> None:
        self._number = number
        super().__init__(work, **given)

    def __hash__(self) -> int:
        return self._number


class LoopClock:
    """The `Clock` port on the running loop's time."""

    def monotonic(self) -> float:
        """The loop's seconds."""
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """A fixed epoch and the loop's seconds."""
        return EPOCH + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds: float) -> None:
        """Let other things happen for that long."""
        await asyncio.sleep(seconds)


class InlineThreads:
    """The `Threads` port without threads: the same input gives the same order."""

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it now."""
        await asyncio.sleep(0)
        return work(*args, **kwargs)


class InlineFanOut:
    """The `FanOut` port, one after the other."""

    async def run(self, work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
        """All results in order; the first failure after everything has ended."""
        pieces = list(work)
        if len(pieces) == 1:
            return [await pieces[0]]
        results = await asyncio.gather(*pieces, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise failures[0]
        return [result for result in results if not isinstance(result, BaseException)]


def run_virtual(main: Coroutine[Any, Any, R]) -> R:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
