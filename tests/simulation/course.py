"""How a run goes: producers send, processes live and end while faults happen; then faults stop, and all must drain."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from unittest import mock

from service.core.datasets import Dataset
from service.core.events import ServiceStarted
from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import Outgoing
from service.quarantine import portions
from service.runtime import EXIT_DRAINED, supervise
from service.settings import Settings
from service.wiring.build import build
from tests.fakes.journal import Journal
from tests.fakes.world import QUEUES, World, crashes
from tests.simulation.loop import run_counting
from tests.simulation.operators import Operators, sent_back
from tests.simulation.people import People
from tests.simulation.plan import TURBULENT_SECONDS, Plan
from tests.simulation.process import Process
from tests.simulation.producers import Sent, definitions, later_messages, messages, strays
from tests.simulation.run import BrokenError, Run
from tests.simulation.setups import DRAIN_SECONDS_MAX, Setup
from tests.simulation.weather import Weather
from tests.simulation.wired import parts_of

RECEIVES_MAX = 20
STOP_SECONDS_MAX = DRAIN_SECONDS_MAX + 8.0
"""The drain, and what giving messages back may take."""
CALM_SECONDS_MAX = 900.0
"""Once faults have stopped: visibilities that must end, waits that were begun, a group for each table."""
LATER_SECONDS_MAX = 60.0
"""For what comes when all is calm: a batch of each layer, and the interval between COPYs."""


def simulate(plan: Plan) -> Run:
    """Run it. Raises BrokenError where something takes longer than it may, or ends as it must not."""
    datasets, journal = dict(_definitions()), Journal()
    run = Run(plan, Setup.of(plan), datasets, World(dict(datasets), journal), Weather(plan))
    run.definitions = {name: [dataset.definition] for name, dataset in datasets.items()}
    journal.after = run.effect
    with mock.patch.object(portions, "PORTION_BYTES", run.setup.portion_bytes):
        run_counting(_Course(run).run())
    return run


class _Course:
    """How a run goes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._plan, self._world, self._weather = run.plan, run.world, run.weather
        self._setup = run.setup
        self._over = asyncio.Event()

    async def run(self) -> None:
        self._open()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(messages(self._plan)))
            group.create_task(self._stray())
            group.create_task(Operators(self._run).act())
            for number in range(self._setup.seats):
                group.create_task(self._sit(number))
            await self._until_quiet()
            self._run.quiet = self._run.settled and self._weather.settled
            self._weather.fine = True
            self._over.set()
            self._run.note("faults stop")
        await self._calm("calm")
        if self._setup.mends:
            self._mend()
            await self._calm("mended")
        if self._plan.peopled:
            self._run.people = People(self._run)
            await self._run.people.afterwards(self._live)
        self._run.calm_from = {name: len(queue.sent) for name, queue in self._world.queues.items()}
        if self._setup.looks_later:
            await self._send(later_messages(self._plan))
            await self._calm("later", LATER_SECONDS_MAX)

    def _open(self) -> None:
        world = self._world
        world.open()
        world.warehouse.refuses = self._run.refuses
        for name in QUEUES:
            world.queues[name].dead = (world.queues[f"{name}-dlq"], RECEIVES_MAX)
        for name, queue in world.queues.items():
            queue.disorder = self._plan.random(f"order of {name}")
            queue.inflight_max = self._setup.inflight_max
            queue.old_receipts_work = self._setup.old_receipts_work

    async def _send(self, sent: Sequence[Sent]) -> None:
        queue = self._world.queues["records"]
        began = asyncio.get_running_loop().time()
        for one in sent:
            await asyncio.sleep(max(0.0, began + one.at - asyncio.get_running_loop().time()))
            queue.put(one.outgoing if one.back is None else self._sent_back(one, one.back))
            self._run.sent[list(queue.sent)[-1]] = one
            self._run.note("producers send")

    async def _stray(self) -> None:
        for at, name, outgoing in strays(self._plan):
            await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
            queue = self._world.queues[name]
            queue.put(outgoing)
            self._run.strays[list(queue.sent)[-1]] = (name, outgoing)

    def _sent_back(self, one: Sent, first: Sent) -> Outgoing:
        """With the mark that says which message it was when it came first."""
        [origin, *_] = [message_id for message_id, sent in self._run.sent.items() if sent is first]
        message_id = f"records-{len(self._world.queues['records'].sent) + 1}"
        mark = Mark(f"of-{message_id}", origin, 1, "round")
        self._run.marks[message_id] = mark
        return replace(one.outgoing, attributes={**one.outgoing.attributes, MARK_ATTRIBUTE: mark.attribute()})

    async def _until_quiet(self) -> None:
        """Until nothing is left that faults could happen to, or until it has been enough."""
        last = max(
            [45.0, *(fault.at + 30.0 for fault in self._plan.drawn), *(one.at + 10.0 for one in messages(self._plan))]
        )
        while (now := asyncio.get_running_loop().time()) < TURBULENT_SECONDS:
            if now > last and self._run.settled and self._weather.settled:
                return
            await asyncio.sleep(2.0)

    async def _sit(self, number: int) -> None:
        """Processes one after the other, as a scheduler starts them."""
        source = self._plan.random(f"seat {number}")
        life = 0
        while not self._over.is_set():
            life += 1
            process = Process(f"p{number}.{life}", self._weather, self._run.note)
            await self._live(process, self._over, self._setup.turbulent)
            if not self._over.is_set():
                await asyncio.sleep(source.choice((0.0, 1.0, 30.0)))

    async def _calm(self, name: str, seconds_max: float = CALM_SECONDS_MAX) -> None:
        """One process without faults, until nothing is left to do."""
        began = asyncio.get_running_loop().time()
        process, over = Process(name, self._weather, self._run.note), asyncio.Event()
        living = asyncio.ensure_future(self._live(process, over, self._setup.calm))
        while not (self._run.settled and self._weather.settled):
            if living.done():
                raise BrokenError(f"I7: the process ended by itself: {living.exception()!r}")
            if asyncio.get_running_loop().time() > began + seconds_max:
                left = {name: len(queue) for name, queue in self._world.queues.items()}
                raise BrokenError(f"I7: {name}: not drained after {seconds_max:.0f} seconds without faults: {left}")
            await asyncio.sleep(1.0)
        self._run.note(f"{name}: drained after {asyncio.get_running_loop().time() - began:.0f} seconds")
        over.set()
        if await living != EXIT_DRAINED:
            raise BrokenError("I7: nothing was left to do, and the process could not drain")

    def _mend(self) -> None:
        """The warehouse takes what it refused, and an operator sends the dead letters back."""
        self._world.warehouse.refuses = lambda _: False
        if self._plan.quarantined:
            sent_back(self._run, "load", opened=True)
        else:
            self._world.queues["load-dlq"].redrive(self._world.queues["load"])
        self._run.mended = True
        self._run.note("mended")

    async def _live(self, process: Process, over: asyncio.Event, configured: Settings) -> int | None:
        """One life, until it ends by itself or is over; its exit code, None when it died."""
        self._run.processes.append(process)
        self._run.note(f"{process.name} starts")
        stopping = asyncio.ensure_future(_stop(process, over))
        stopped = asyncio.ensure_future(process.signals.stop.wait())
        living = asyncio.ensure_future(self._supervised(process, configured))
        await asyncio.wait([living, stopped], return_when=asyncio.FIRST_COMPLETED)
        asked = asyncio.get_running_loop().time()
        await asyncio.wait([living], timeout=STOP_SECONDS_MAX)
        if process.stood_still:
            await asyncio.wait([living], timeout=TURBULENT_SECONDS)
        if not living.done():
            raise BrokenError(f"I7: {process.name} does not end within {STOP_SECONDS_MAX:.0f} seconds")
        stopping.cancel()
        stopped.cancel()
        wrong = None if living.cancelled() else living.exception()
        if wrong is not None and not (process.dead and crashes(wrong)):
            raise BrokenError(f"{process.name} met a bug: {wrong!r}") from wrong
        code = None if process.dead or living.cancelled() else living.result()
        if code is not None and not process.signals.again.is_set():
            process.drained = (asyncio.get_running_loop().time() - asked, code)
        self._run.note(f"{process.name} ends: {code}")
        return code

    async def _supervised(self, process: Process, configured: Settings) -> int:
        parts = parts_of(self._run, configured, process)
        return await supervise(
            build(parts),
            process.signals,
            started=ServiceStarted(configured.layers, 0),
            drain_seconds_max=DRAIN_SECONDS_MAX,
            clock=parts.means.clock,
            emit=parts.means.emit,
        )


async def _stop(process: Process, over: asyncio.Event) -> None:
    await over.wait()
    process.signals.stop.set()


@cache
def _definitions() -> tuple[tuple[str, Dataset], ...]:
    return tuple(definitions().items())
