"""What people and circumstances do to a running service: they redrive letters, lose objects, replay, stop, kill."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from service.core.dead_letter import Letter, read_letter
from service.core.errors import RejectedError
from service.core.model import Outgoing
from service.core.notice import FileNotice, Replaces
from service.core.zones import Zone, raw_place
from tests.fakes.time import LoopClock
from tests.simulation.faults import Fault
from tests.simulation.process import Process
from tests.simulation.run import Run

RAW = Zone.parse("raw", "s3://raw")


AGAIN_SECONDS = 20.0
"""Between looks whether there is anything to do the deed to."""


UNFIT_SECONDS = 45.0


class Operators:
    """Carry out the plan's deeds, each at its time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._store = run.world.store

    async def act(self) -> None:
        """All of them."""
        async with asyncio.TaskGroup() as group:
            for fault in self._run.plan.faults:
                if fault.point == "world":
                    group.create_task(self._do(fault))

    async def _do(self, fault: Fault) -> None:
        """At its time, or as soon after as there is something to do it to."""
        await asyncio.sleep(fault.at)
        source = self._run.plan.random(f"deed {fault}")
        while not self._run.weather.fine and not self._deed(fault)(source):  # noqa: ASYNC110
            await asyncio.sleep(AGAIN_SECONDS)
        if not self._run.weather.fine:
            self._run.weather.happens(fault)
            self._run.note(f"somebody does: {fault}")

    def _deed(self, fault: Fault) -> Callable[[random.Random], bool]:
        verb, _, what = fault.kind.partition(" ")
        deeds: dict[str, Callable[[random.Random], bool]] = {
            "redrive": lambda _: self._redrive(what),
            "lose": lambda source: self._lose(what, source),
            "replay": self._replay,
            "unfit": self._alter,
            "drain": lambda source: self._to_some(source, lambda process: process.signals.stop.set()),
            "kill": lambda source: self._to_some(source, Process.kill),
            "stop": lambda source: self._to_some(source, Process.stop_at_once),
        }
        return deeds[verb]

    def _redrive(self, dead: str) -> bool:
        queues = self._run.world.queues
        if self._run.plan.quarantined:
            return sent_back(self._run, dead.removesuffix("-dlq"), opened=False) > 0
        return queues[dead].redrive(queues[dead.removesuffix("-dlq")]) > 0

    def _to_some(self, source: random.Random, deed: Callable[[Process], None]) -> bool:
        alive = [p for p in self._run.processes if not p.dead and not p.signals.stop.is_set()]
        if alive:
            deed(source.choice(alive))
        return bool(alive)

    def _lose(self, zone: str, source: random.Random) -> bool:
        """An object is gone, as by a mistaken lifecycle rule."""
        found = sorted(uri for uri in self._store.objects if uri.startswith(f"s3://{zone}/") and "/_" not in uri)
        if found:
            del self._store.objects[source.choice(found)]
        return bool(found)

    def _alter(self, _: random.Random) -> bool:
        """A table lacks a column until somebody has migrated it."""
        columns = self._run.world.warehouse.columns
        whole = columns["events"]
        if len(whole) < len(self._run.datasets["events"].stored_columns):
            return False
        columns["events"] = [column for column in whole if column[0] != "amount"]

        async def migrate() -> None:
            columns["events"] = whole

        self._run.weather.later(UNFIT_SECONDS, migrate)
        return True

    def _replay(self, source: random.Random) -> bool:
        """One raw file is to be refined anew, in the place of all that was made of it."""
        queue = self._run.world.queues["refine"]
        notices = [notice for out in queue.sent.values() if (notice := _landed(out.body)) is not None]
        known = self._run.world.warehouse.entries("events")
        loaded = [n for n in notices if any(uri in known for uri in self._made_of(n.files[0].uri))]
        if not loaded:
            return False
        notice = source.choice(loaded)
        raw_file = notice.files[0].uri
        replaces = Replaces(raw_file, tuple(self._made_of(raw_file)))
        queue.put(Outgoing(replace(notice, replaces=replaces, produced_at=LoopClock().now()).to_json()))
        return True

    def _made_of(self, raw_file: str) -> list[str]:
        """Every refined file that was ever made of a raw file."""
        batch_id = raw_place(RAW, raw_file).batch_id
        return sorted(uri for uri in self._run.objects if uri.startswith("s3://refined/events/") and batch_id in uri)


def sent_back(run: Run, queue: str, *, opened: bool) -> int:
    """By hand: letters from the reprocess queue go to the queue on which their messages failed; says how many.

    Moved as they are, or `opened`: then the message goes that each is about.
    """
    reprocess, layer = run.world.queues["reprocess"], "land" if queue == "records" else queue
    mine, others = [], []
    for body in reprocess.take():
        letter = read_letter(body)
        assert letter is not None, "quarantine sends nothing else"
        if letter.layer == layer and letter.code != "redriven":
            mine.append(Outgoing(_message(letter) if opened else body))
        else:
            others.append(Outgoing(body))
    reprocess.put(*others)
    run.world.queues[queue].put(*mine)
    return len(mine)


def _message(letter: Letter) -> str:
    """What the letter is about in the end, where somebody had moved letters before."""
    assert letter.original is not None, "loaders' letters hold it"
    inner = read_letter(letter.original.body)
    return letter.original.body if inner is None else _message(inner)


def _landed(body: str) -> FileNotice | None:
    """What land told of a raw file of `events`; None for everything else on that queue."""
    try:
        notice = FileNotice.from_json(body)
    except RejectedError:
        return None
    return notice if notice.dataset == "events" and notice.replaces is None else None
