"""One life of a process: between it and the stores stands a gate, where calls go wrong and where processes end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry

from service.core.errors import ContendedError, SetupError, TransientError
from service.core.events import Event
from service.runtime import Signals
from service.telemetry.metrics import Metrics
from tests.fakes.journal import Crash
from tests.fakes.time import LoopClock
from tests.simulation.faults import Fault
from tests.simulation.loop import tasks
from tests.simulation.weather import Weather

T = TypeVar("T")
Act = Callable[[], Awaitable[T]]
Special = Callable[[Fault], Awaitable[T]]

FOREVER_SECONDS = 1_000.0


class Process:
    """What is known about a process from outside: its name, its signals, what it told, and whether it lives."""

    def __init__(self, name: str, weather: Weather, note: Callable[[str], None]) -> None:
        self.name = name
        self.signals = Signals()
        self.weather = weather
        self.metrics = Metrics(CollectorRegistry())
        self.told: list[Event] = []
        self.dead = False
        self.stood_still = False
        self.lingers = 0.0
        """For how long the server keeps a transaction whose connection this process has lost."""
        self.held: dict[str, tuple[float, int]] = {}
        """Until when the process may have which message, by receipt, and its bytes."""
        self.hung_up = False
        """Whether giving messages back took too long, so that nobody counted it."""
        self.overdue: list[str] = []
        """Receipts by which it asked for something after their time, by the queue's own clock."""
        self.not_done: Counter[tuple[str, str]] = Counter()
        """By queue and action: messages of which the queue's answer said that nothing was done to them."""
        self.drained: tuple[float, int] | None = None
        """Seconds from being asked to stop to its end, and the exit code; None where it died or stopped at once."""
        self.held_bytes_peak = 0
        self.tasks_peak = 0
        self._note = note
        self._awake_at = 0.0

    def tell(self, event: Event) -> None:
        """The `Emit` port."""
        self.told.append(event)
        self.metrics.record(event)
        self._note(f"{self.name} tells {event!r}")

    def kill(self) -> None:
        """It does nothing more from now on: whatever it still tries ends it."""
        self.dead = True

    def stop_at_once(self) -> None:
        """Two signals in a row."""
        self.signals.stop.set()
        self.signals.again.set()

    def stand_still(self, seconds: float) -> None:
        """Stopped, as with SIGSTOP, for so long."""
        self.stood_still = True
        self._awake_at = asyncio.get_running_loop().time() + seconds

    async def alive(self) -> None:
        """Pass only while the process lives, and once it is awake."""
        cancelled: asyncio.CancelledError | None = None
        while (left := self._awake_at - asyncio.get_running_loop().time()) > 0 and not self.weather.fine:
            try:
                await asyncio.sleep(min(left, 1.0))
            except asyncio.CancelledError as told:
                cancelled = told  # whoever is stopped hears of it when it goes on
        if self.dead:
            raise Crash(self.name)
        if cancelled is not None:
            raise cancelled

    def holds(self, receipts: Mapping[str, tuple[float, int]]) -> None:
        """It received these, or may have them for longer."""
        if not receipts:
            return
        self.held |= receipts
        now = asyncio.get_running_loop().time()
        self.held_bytes_peak = max(self.held_bytes_peak, sum(size for until, size in self.held.values() if until > now))
        self.tasks_peak = max(self.tasks_peak, tasks())

    async def call(
        self,
        point: str,
        act: Act[T],
        *,
        dependency: str = "",
        seconds_max: float = 120.0,
        special: Mapping[str, Special[T]] | None = None,
    ) -> T:
        """One call of the service at that point of the world, with whatever befalls it there."""
        await self.alive()
        fault = self.weather.now(point)
        if dependency and self.weather.away(dependency, point.partition(" ")[0]):
            raise TransientError(dependency, "it is away")
        if fault is None:
            return await self._done(act, dependency, seconds_max)
        self.weather.happens(fault)
        self._note(f"{self.name} meets {fault}")
        if special and fault.kind in special:
            return await self._done(lambda: special[fault.kind](fault), dependency, seconds_max)
        return await self._meet(fault, act, dependency, seconds_max)

    async def _meet(self, fault: Fault, act: Act[T], dependency: str, seconds_max: float) -> T:
        match fault.kind:
            case "kill before" | "kill after" | "cancel before" | "cancel after":
                return await self._end(fault, act)
            case "fail" | "denied" | "contended" | "lingers":
                raise self._wrong(fault, dependency)
            case "late":
                self.weather.later(fault.seconds, act)
                raise TransientError(dependency, "no answer")
            case "slow":
                await asyncio.sleep(min(fault.seconds, seconds_max))
                if fault.seconds >= seconds_max:
                    raise TransientError(dependency, "no answer in time")
            case "pause":
                self.stand_still(fault.seconds)
            case "hang":
                self.weather.later(fault.seconds, self._asked_to_drain)
                await asyncio.sleep(FOREVER_SECONDS)
                raise TransientError(dependency, "no answer in time")
        result = await self._done(act, dependency, seconds_max)
        if fault.kind == "lost":
            raise TransientError(dependency, "the answer was lost")
        return result

    async def _end(self, fault: Fault, act: Act[T]) -> T:
        if fault.kind.endswith("after"):
            await act()
        if fault.kind.startswith("kill"):
            self.lingers = fault.seconds
            self.kill()
            raise Crash(self.name)
        self.stop_at_once()
        await asyncio.sleep(FOREVER_SECONDS)
        raise AssertionError(f"{self.name} was told to stop at once and still waits")

    async def _asked_to_drain(self) -> None:
        self.signals.stop.set()

    def _wrong(self, fault: Fault, dependency: str) -> Exception:
        match fault.kind:
            case "denied":
                return SetupError(f"{dependency}: not allowed")
            case "contended":
                return ContendedError(dependency, "another transaction was at the same table")
            case "lingers":
                self.lingers = fault.seconds
        return TransientError(dependency, "the connection was reset")

    async def _done(self, act: Act[T], dependency: str, seconds_max: float) -> T:
        await self.alive()
        try:
            async with asyncio.timeout(seconds_max):
                result = await act()
        except TimeoutError:
            raise TransientError(dependency, "no answer in time") from None
        await self.alive()
        return result


class ProcessClock(LoopClock):
    """The `Clock` port of a process that may stand still."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def sleep(self, seconds: float) -> None:
        """Let other things happen for that long, or until the process is awake again."""
        await asyncio.sleep(seconds)
        await self._process.alive()
