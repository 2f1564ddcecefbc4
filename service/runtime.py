"""The life of the process: start, run, drain, close.

SIGTERM or SIGINT asks for a drain: stop receiving, seal and land what is worth it, release the rest, within one
deadline that every worker is told. A second signal, or the deadline, cancels what is left. If any layer ends by itself
or fails, all stop.

Exit codes: 0 drained, 1 a bug, 2 a set-up error, 3 the drain did not end in time, 130 interrupted before the start.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from asyncio_pool import AioPool

from service.core.clock import Deadline
from service.core.events import ServiceDraining, ServiceStarted
from service.core.ports import Clock, Emit

P = ParamSpec("P")
R = TypeVar("R")

EXIT_DRAINED, EXIT_BUG, EXIT_SETUP, EXIT_LATE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
ABANDON_SECONDS = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Worker(Protocol):
    """Something that runs until drained."""

    def drain(self, deadline: Deadline) -> None:
        """Finish what is held as far as that can be by then, and let `run` return."""
        ...

    async def run(self) -> None:
        """Work."""
        ...


class PooledFanOut:
    """The `FanOut` port on asyncio-pool.

    Its known faults decide its use here: nothing is cancelled through the pool, no callbacks, no timeouts around its
    futures, and every future is awaited. Cancelled, we wait a little for what runs and then leave it to its own limit.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max

    async def run(self, work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
        """All results in order; the first failure after everything has ended."""
        pieces = list(work)
        if len(pieces) <= 1:
            return [await piece for piece in pieces]
        pool = AioPool(size=self._size_max)
        futures = [pool.spawn_n(piece) for piece in pieces]
        for future in futures:
            future.add_done_callback(_looked_at)
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            await asyncio.wait(futures, timeout=ABANDON_SECONDS)
            raise
        return [future.result() for future in futures]


def _looked_at(future: asyncio.Future[Any]) -> None:
    """Failures behind the first, and those of abandoned pieces, are nobody's; asyncio complains unless we look."""
    if not future.cancelled():
        future.exception()


class PooledThreads:
    """The `Threads` port on a pool of worker threads."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it there; cancelling stops the waiting only."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


class Signals:
    """SIGTERM and SIGINT for the length of a block: the first asks to stop, the second to stop at once."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.again = asyncio.Event()
        self.cause = "a layer ended"

    def __enter__(self) -> Self:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._arrived, number)
        return self

    def __exit__(self, *exception: object) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def unless_stopped(self, work: Coroutine[Any, Any, R]) -> R | None:
        """Do the work, or drop it when asked to stop: for start-up, when nothing is held yet."""
        task = asyncio.ensure_future(work)
        await _first(asyncio.wait([task]), self.stop.wait())
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait([task])
        return None

    def _arrived(self, number: signal.Signals) -> None:
        if self.stop.is_set():
            self.again.set()
        else:
            self.cause = number.name
            self.stop.set()


async def supervise(
    workers: Sequence[tuple[str, Worker]],
    signals: Signals,
    *,
    started: ServiceStarted,
    drain_seconds_max: float,
    clock: Clock,
    emit: Emit,
) -> int:
    """Run all workers until a signal, then drain them. Returns the exit code; a worker's failure is raised."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(worker.run(), name=name) for name, worker in workers]
        emit(started)
        await _first(signals.stop.wait(), *_ended(running))
        emit(ServiceDraining(signals.cause, drain_seconds_max))
        deadline = Deadline.after(drain_seconds_max, clock)
        for _, worker in workers:
            worker.drain(deadline)
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline.remaining_seconds()):
                await _first(signals.again.wait(), asyncio.wait(running))
        late = [task for task in running if not task.done()]
        for task in late:
            task.cancel()
    return EXIT_LATE if late else EXIT_DRAINED


def _ended(tasks: Iterable[asyncio.Task[None]]) -> list[Awaitable[Any]]:
    return [asyncio.wait([task]) for task in tasks]


async def _first(*waits: Awaitable[Any]) -> None:
    """Until one of them is done; the others are stopped."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
