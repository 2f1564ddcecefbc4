"""People who run commands while the service runs: they are killed, press Ctrl-C, meet outages, and begin again.

There is one storm: under the definitions of the first day, where nearly all that is sent back fails again, or under
mended ones. Then nothing goes wrong any more, and people do once more what is left to do.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.quarantine.reprocess.plan import plan
from service.quarantine.reprocess.run import Run as Round
from service.quarantine.reprocess.run import already_loaded
from service.quarantine.reprocess.table import Choice
from service.quarantine.resolve import STALE_SECONDS
from service.settings import Settings
from service.upkeep.days import Days
from service.upkeep.reconcile import Day, Reconcile
from service.upkeep.repair import Mended, Repair
from service.upkeep.replay import Replay
from service.upkeep.tools import IN_FLIGHT
from service.upkeep.tools import Tools as UpkeepTools
from service.wiring.reprocess import reprocess_tools
from service.wiring.upkeep import upkeep
from tests.fakes.queue import EPOCH
from tests.simulation.faults import Fault
from tests.simulation.people_ends import Ended, ended
from tests.simulation.people_gates import Person, command_parts
from tests.simulation.people_notes import sent_back
from tests.simulation.process import Process
from tests.simulation.producers import DATASETS, later_messages
from tests.simulation.run import BrokenError, Run

Live = Callable[[Process, asyncio.Event, Settings], Awaitable[int | None]]
"""One life of the service, until it is over."""
Kind = Literal["run", "replay", "repair"]

TODAY = Days(EPOCH.date(), EPOCH.date())
STORM_SECONDS = 240.0
"""How long faults may happen in a storm."""
DRAIN_SECONDS_MAX = 1_200.0
RESOLVE_SECONDS = 150.0
"""Two looks of the resolver, and the loading of what it writes."""
ENDS_SECONDS_MAX = 300.0
"""After Ctrl-C: what is claimed is given back, as far as the queue can be asked."""
EARLY_SHARE, REPLAYS_SHARE, EXPIRY_SHARE = 0.5, 0.4, 0.5
LIVES_MAX = 60
"""More than faults can end."""
STRAYS_GO_TO = "events"


@dataclass(frozen=True, slots=True)
class Errand:
    """What somebody wants done, from when on; `options` are the command's own."""

    name: str
    kind: Kind
    at: float
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Account:
    """What reconcile said of a dataset, and what a repair announced then."""

    dataset: str
    days: list[Day]
    announced: list[Mended]


class People:
    """Those of one run. After it: what they saw, for the checker."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._weather = run.weather
        self._configured = run.setup.calm
        self.persons: list[Person] = []
        self.began: dict[str, int] = {}
        """By the token of a round: how many effects the journal had when its command began."""
        self.accounts: list[Account] = []
        """Of the end: all datasets once, and once more after the repair."""
        self.expired = ""
        """On which queue a notice has expired, if one has."""
        run.listeners.append(self._heard)

    async def afterwards(self, live: Live) -> None:
        """Once all is calm."""
        early = self._run.plan.random("people").random() < EARLY_SHARE
        if not early:
            self._mend()
        await self._storm(live, late=not early)
        if early:
            self._mend()
        await self._finish(live)

    def _heard(self, effect: str, details: Sequence[str]) -> None:
        """Nobody but people sends to the records queue."""
        if effect.startswith("records send "):
            sent_back(self._run, details)

    def _errands(self, *, late: bool) -> list[Errand]:
        source = self._run.plan.random("errands")
        few: dict[str, Any] = source.choice(({"limit": 1}, {"layer": "refine"}, {"limit": 2, "parked": True}))
        errands = [
            Errand("run", "run", 1.0, {"rate": source.choice((0.1, 5.0, 100.0)), "parked": late}),
            Errand("run of few", "run", source.choice((1.0, 6.0, 50.0)), few),
            Errand("run again", "run", source.choice((45.0, 90.0)), {"parked": late}),
        ]
        for dataset in self._arrived():
            if self._replays and source.random() < 0.5:
                errands.append(
                    Errand(f"replay of {dataset}", "replay", source.choice((1.0, 20.0)), {"dataset": dataset})
                )
            if source.random() < 0.5:
                errands.append(
                    Errand(f"repair of {dataset}", "repair", source.choice((2.0, 30.0)), {"dataset": dataset})
                )
        return errands

    @property
    def _replays(self) -> bool:
        """Whether anybody replays in this run: where nobody does, what was sent back must do alone."""
        return self._run.plan.random("replays").random() < REPLAYS_SHARE

    def _arrived(self) -> list[str]:
        objects = self._run.world.store.objects
        return [name for name in sorted(DATASETS) if any(uri.startswith(f"s3://raw/{name}/") for uri in objects)]

    def _mend(self) -> None:
        """What was wrong is mended: definitions, the warehouse, and where messages go that do not say where."""
        run = self._run
        run.world.datasets = dict(_mended())
        run.world.warehouse.refuses = lambda _: False
        run.mended = True
        for name, dataset in run.world.datasets.items():
            run.definitions[name].append(dataset.definition)
        self._configured = self._configured.model_copy(update={"records_dataset_default": STRAYS_GO_TO})
        self._weather.keep(lambda fault: fault.kind != "undeleted")
        run.note("definitions are mended")

    async def _storm(self, live: Live, *, late: bool) -> None:
        self._weather.fine = False
        over = asyncio.Event()
        passing = asyncio.get_running_loop().call_later(STORM_SECONDS, self._calm_down)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve("storm", over, live))
            async with asyncio.TaskGroup() as people:
                for errand in self._errands(late=late):
                    people.create_task(self._do(errand))
            passing.cancel()
            self._calm_down()
            over.set()
        await self._drain("after the storm", live)

    def _calm_down(self) -> None:
        self._weather.fine = True
        self._run.note("faults stop")

    async def _serve(self, name: str, over: asyncio.Event, live: Live) -> None:
        """The service, one process after the other; some are killed."""
        source = self._run.plan.random(f"kills {name}")
        for life in itertools.count(1):
            process = Process(f"{name}.{life}", self._weather, self._run.note)
            killing = asyncio.ensure_future(self._kill(process, source.choice((None, 5.0, 30.0, 80.0))))
            await live(process, over, self._configured)
            killing.cancel()
            if over.is_set():
                return
            await asyncio.sleep(source.choice((0.0, 1.0, 30.0)))

    async def _kill(self, process: Process, after: float | None) -> None:
        if after is None:
            return
        await asyncio.sleep(after)
        if not self._weather.fine:
            self._weather.happens(Fault("world", "kill", 0, asyncio.get_running_loop().time()))
            process.kill()

    async def _drain(self, name: str, live: Live, *, seconds_min: float = 0.0) -> None:
        """One process without faults, until nothing is left on its way."""
        began = asyncio.get_running_loop().time()
        over = asyncio.Event()
        process = Process(name, self._weather, self._run.note)
        living = asyncio.ensure_future(live(process, over, self._configured))
        while not (self._flowed() and self._weather.settled) or self._since(began) < seconds_min:
            if living.done():
                raise BrokenError(f"I7: the process ended by itself: {living.exception()!r}")
            if self._since(began) > DRAIN_SECONDS_MAX:
                raise BrokenError(f"I7: {name}: not drained after {DRAIN_SECONDS_MAX:.0f} seconds without faults")
            await asyncio.sleep(1.0)
        over.set()
        await living

    def _flowed(self) -> bool:
        """Whether nothing is on its way but mail, which may wait for its hour."""
        queues = self._run.world.queues
        return self._run.world.settled() and not any(len(queues[name]) for name in queues if name.endswith("-dlq"))

    def _since(self, began: float) -> float:
        return asyncio.get_running_loop().time() - began

    async def _finish(self, live: Live) -> None:
        """All that is left is sent back, and its rounds come to their end; then it must add up."""
        await self._do(Errand("last run", "run", 0.0, {"parked": True}))
        await self._drain("all is sent back", live)
        await asyncio.sleep(STALE_SECONDS)
        await self._drain("rounds end", live, seconds_min=RESOLVE_SECONDS)
        if self._replays:
            for dataset in self._arrived():
                await self._do(Errand(f"last replay of {dataset}", "replay", 0.0, {"dataset": dataset}))
            await self._drain("all is replayed", live)
        if self._run.plan.random("expiry").random() < EXPIRY_SHARE:
            await self._expire(live)
        for number in (1, 2):
            await asyncio.sleep((IN_FLIGHT + timedelta(minutes=1)).total_seconds())
            for dataset in self._arrived():
                await self._do(
                    Errand(f"reconcile {number} {dataset}", "repair", 0.0, {"dataset": dataset, "last": True})
                )
            if number == 1 and any(account.announced for account in self.accounts):
                await self._drain("repaired", live)

    async def _expire(self, live: Live) -> None:
        """A notice waits until its queue's retention is over: now nobody is told of its file any more."""
        source, queues = self._run.plan.random("which expires"), self._run.world.queues
        self.expired, layers = source.choice((("refine", ("land",)), ("load", ("land", "refine"))))
        sent = later_messages(self._run.plan)[0]
        queues["records"].put(sent.outgoing)
        self._run.sent[list(queues["records"].sent)[-1]] = sent
        over, process = asyncio.Event(), Process("until it expires", self._weather, self._run.note)
        configured = self._configured.model_copy(update={"layers": layers})
        living = asyncio.ensure_future(live(process, over, configured))
        while not len(queues[self.expired]):  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(1.0)
        over.set()
        await living
        queues[self.expired].take()
        await self._drain("after it has expired", live)

    async def _do(self, errand: Errand) -> None:
        """The command, and the same command again until it has ended well."""
        await asyncio.sleep(errand.at)
        source = self._run.plan.random(f"errand {errand.name}")
        began = EPOCH + timedelta(seconds=asyncio.get_running_loop().time())
        for life in range(1, LIVES_MAX):
            person = Person(f"{errand.name}.{life}", self._weather, self._run.note)
            person.token = f"{source.getrandbits(64):016x}"
            self.persons.append(person)
            self._run.note(f"{person.name} begins")
            fate = await self._life(person, self._command(person, errand, began if life > 1 else None))
            self._run.note(f"{person.name} ends: {fate}")
            if fate == "done":
                return
            await asyncio.sleep(source.choice((1.0, 10.0, 40.0)))
        raise BrokenError(f"I7: {errand.name} was begun {LIVES_MAX} times, and did not get done")

    async def _life(self, person: Person, work: Awaitable[bool]) -> Ended:
        """Ctrl-C ends it, the first one in good order where the command can."""
        working = asyncio.ensure_future(work)
        stop, again = (asyncio.ensure_future(one.wait()) for one in (person.signals.stop, person.signals.again))
        await asyncio.wait([working, stop], return_when=asyncio.FIRST_COMPLETED)
        if not working.done() and person.patient:
            await asyncio.wait([working, again], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait([working], timeout=ENDS_SECONDS_MAX)
        if not working.done():
            raise BrokenError(f"I7: {person.name} does not end within {ENDS_SECONDS_MAX:.0f} seconds")
        stop.cancel()
        again.cancel()
        return ended(person, working)

    async def _command(self, person: Person, errand: Errand, since: datetime | None) -> bool:
        parts = command_parts(self._run, self._configured, person)
        if errand.kind == "run":
            return await self._reprocess(
                person, replace(reprocess_tools(parts), token=lambda: person.token), **errand.options
            )
        tools, dataset = upkeep(parts), errand.options["dataset"]
        if errand.kind == "repair":
            return await self._repair(tools, dataset, last=errand.options.get("last", False))
        self._run.people_replayed = True
        chosen = Replay(tools, dataset, TODAY, since=since)
        if (await chosen.plan()).files:
            async for _ in chosen.run(files_minute_max=60):
                pass
        return True

    async def _reprocess(self, person: Person, tools: Any, *, rate: float = 100.0, **wanted: Any) -> bool:
        """As `service/commands/reprocess.py` does it, with `--yes`."""
        self.began[person.token] = len(self._run.world.journal.effects)
        planned = await plan(Choice(EPOCH, EPOCH + timedelta(days=1), **wanted), tools, lambda _: lambda _: None)
        if not (planned.items or planned.exhausted):
            return True
        await already_loaded(planned, tools)
        person.patient = True
        done = await Round(tools, rate=rate, stop=person.signals.stop.is_set, told=lambda _: None).run(planned)
        return not done.stopped

    async def _repair(self, tools: UpkeepTools, dataset: str, *, last: bool) -> bool:
        """As `service/commands/reconcile.py` does it, with `--repair`."""
        in_flight = IN_FLIGHT if last else timedelta(minutes=1)
        mending = Repair(tools, dataset)
        account = Account(dataset, [], [])
        async for day in Reconcile(tools, dataset, TODAY, in_flight=in_flight).run():
            account.days.append(day)
            account.announced += [mended async for mended in mending.run(day.findings)]
        if last:
            self.accounts.append(account)
        return True


@cache
def _mended() -> tuple[tuple[str, Dataset], ...]:
    """Older events are taken too."""
    with TemporaryDirectory() as directory:
        for name, text in DATASETS.items():
            (Path(directory) / f"{name}.toml").write_text(text.replace("2020-01-01", "1990-01-01"))
        return tuple(load_datasets(Path(directory)).items())
