"""A resolver over a bed of failures, and what is sent back there."""

import asyncio
import json
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from service.core.clock import Deadline
from service.core.events import ResolveFailed, RoundLooked
from service.core.marks import LandedMarks, Mark
from service.core.model import Original, Outgoing
from service.core.retry import Backoff
from service.quarantine.reprocess.rounds import Awaited
from service.quarantine.resolve import Resolve
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock
from tests.unit.quarantine.bench import ERRORS_ZONE, RAW, RAW_FILE
from tests.unit.quarantine.reprocess_bed import Bed, lay_raw, records

BATCH = RAW_FILE.rpartition("/")[2].removesuffix(".parquet")
LATER_FILE = RAW_FILE.replace("0123456789abcdef", "fedcba9876543210").replace(
    "20240304T115959123Z", "20260101T000100000Z"
)
LATER = Awaited("loans", LATER_FILE.rpartition("/")[2].removesuffix(".parquet"))
SETTLE = 120.0


@dataclass
class Watch:
    """A resolver, and what the ledgers and the lake say: it asks this object."""

    bed: Bed
    ledger: set[Awaited] = field(default_factory=set)
    told: list[RoundLooked | ResolveFailed] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    hangs: bool = False
    lake: set[Awaited] = field(default_factory=set)

    def worker(self) -> Resolve:
        return Resolve(
            self,
            zones=(RAW, ERRORS_ZONE),
            load_queue=self.bed.load_queue,
            settle_seconds=SETTLE,
            backoff=Backoff(1, 8, random.Random(1)),
            means=self.bed.means,
            told=self.told.append,
        )

    async def looks(self, minutes: float) -> None:
        """One life of the worker."""
        worker = self.worker()

        async def end() -> None:
            await LoopClock().sleep(60 * minutes)
            worker.drain(Deadline.after(60, LoopClock()))

        await asyncio.gather(worker.run(), end())

    async def standing(self) -> set[str]:
        """Of all fingerprints."""
        states = [json.loads(body) for uri, body in self.bed.store.objects.items() if "fingerprints/" in uri]
        return {state["state"] for state in states}

    def lost(self) -> list[int]:
        """Of each fingerprint, how many are to be mailed as lost."""
        states = [json.loads(body) for uri, body in self.bed.store.objects.items() if "fingerprints/" in uri]
        return [state["lost"] for state in states]

    async def lying(self, asked: Collection[Awaited]) -> set[Awaited]:
        """Which of these the lake has files of."""
        return self.lake & {*asked}

    async def __call__(self, asked: Sequence[Awaited], since: datetime) -> set[Awaited]:
        self.bed.journal.before("warehouse ledger")
        self.asked.append(since)
        if self.hangs:
            await asyncio.Event().wait()
        return {one for one in asked if {one, replace(one, moment=None)} & self.ledger}


def landed(here: Bed, uri: str = LATER_FILE) -> None:
    """Land stores everything that was sent back to it, and says so."""
    marks = [Mark.of(_read(sent)) for sent in here.queues["land"].sent.values()]
    body = LandedMarks(uri, [mark for mark in marks if mark is not None]).to_json()
    name = uri.rpartition("/")[2].removesuffix(".parquet")
    here.store.objects[ERRORS_ZONE.uri(f"marks/{name}.json")] = body


def _read(sent: Outgoing) -> Original:
    return Original("m", EPOCH, sent.attributes, sent.body)


async def sent_records(here: Bed, *places: tuple[int, int]) -> str:
    lay_raw(here, "a", "b", "c")
    await here.fail(records(*places))
    return (await here.run()).round_id


async def aged(here: Bed, round_id: str, age: timedelta = timedelta(days=16)) -> None:
    """The round began so much earlier."""
    round_, _ = await here.round(round_id)
    old = replace(round_, began_at=round_.began_at - age)
    here.store.objects[ERRORS_ZONE.uri(f"rounds/{round_id}.json")] = old.to_json()
