"""`acequia reprocess run`: a choice of failures is tried, then sent back to where it can succeed.

What is sent comes from the errors zone; what has gone from there comes from the letters on the reprocess queue.

Durable effects, in this order: the round begun → error rows of what is parked stored and announced → then, portion by
portion: messages and notices sent → the portion written down → its error rows stored as `reprocessed` → notice sent to
the load queue → letters deleted from the reprocess queue → and in the end: the round marked as sent → fingerprints
marked.

    dies after the beginning    a round without portions: it ends as it is
    dies while sending          what of the portion was sent is not written down: a second run sends it once more, and
                                the warehouse drops it by `_record_id`
    dies after the portion      the same; the round knows of it, so both rounds can be resolved
    dies after the error rows   it is not sent again; `service/quarantine/resolve.py` announces the rows
    dies after the notice       letters stay on the reprocess queue: whoever claims them next deletes them
    dies after the letters      the round is taken for sent when nothing has come for a while

So the way on after Ctrl-C, or a death, is the same command again: what is `reprocessed` is not chosen any more.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from service.core.errors import SetupError, TransientError
from service.core.model import Outgoing
from service.core.slices import slices
from service.quarantine.reprocess.claims import Claims
from service.quarantine.reprocess.pace import Pace
from service.quarantine.reprocess.parcels import Parcel, Parcels, Refused
from service.quarantine.reprocess.plan import Plan, Told
from service.quarantine.reprocess.rehearse import OriginalsReader
from service.quarantine.reprocess.restate import Restater, Restating
from service.quarantine.reprocess.rounds import Portion, Round, Rounds, round_id_of
from service.quarantine.reprocess.standing import mark_standings
from service.quarantine.reprocess.table import Item
from service.quarantine.reprocess.tools import RECORD_IDS_MAX, Tools

CHUNK_BYTES_MAX = 4 * 1024 * 1024
PORTION_MESSAGES = 1_000
PORTION_ITEMS = 20_000
PORTION_SECONDS = 60.0
"""A portion is written down when it has so much: after a kill -9 at most that is sent twice."""


@dataclass(slots=True)
class Done:
    """What a run did. `refused` are records that could not be sent, by the reason."""

    round_id: str
    sent: int = 0
    messages: int = 0
    parked: int = 0
    letters: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    stopped: bool = False


@dataclass(slots=True)
class _Open:
    """The portion that is being sent."""

    number: int
    began: float
    parcels: list[Parcel] = field(default_factory=list)

    @property
    def items(self) -> int:
        return sum(len(parcel.items) for parcel in self.parcels)

    def full(self, now: float) -> bool:
        """Whether it is time to write it down."""
        many = len(self.parcels) >= PORTION_MESSAGES or self.items >= PORTION_ITEMS
        return many or now - self.began >= PORTION_SECONDS


async def already_loaded(plan: Plan, tools: Tools) -> int:
    """How many of the records that would pass are in the warehouse: they will not be there twice. Of several chosen
    records with one `_record_id` each counts.
    """
    found = 0
    for dataset, record_ids in plan.forecast.record_ids.items():
        by_times: dict[int, list[str]] = {}
        for record_id, times in sorted(record_ids.items()):
            by_times.setdefault(times, []).append(record_id)
        for times, same in by_times.items():
            for some in slices(same, RECORD_IDS_MAX):
                found += times * await tools.loaded(dataset, some)
    return found


class Run:
    """One round. `stop` says whether to end it soon: what was sent is then written down."""

    def __init__(self, tools: Tools, *, rate: float, stop: Callable[[], bool], told: Told) -> None:
        self._tools = tools
        self._clock = tools.means.clock
        self._told = told
        self._began_at = self._clock.now()
        self._done = Done(round_id_of(self._began_at, tools.token()))
        self._rounds = Rounds(tools.errors, tools.means)
        self._restater = Restater(tools.errors, tools.queues["load"], tools.means)
        self._claims = Claims(tools.reprocess_queue, self._clock)
        self._pace = Pace(self._claims, self._clock, rate=rate, stop=stop)
        self._settled: dict[str, datetime] = {}

    async def run(self, plan: Plan) -> Done:
        """Send what was planned."""
        self._settled |= plan.settled
        everything = [*plan.items, *plan.exhausted]
        since = min(item.first_failed_at for item in everything).date()
        begun = Round(self._done.round_id, self._began_at, since)
        await self._rounds.change(begun.round_id, lambda _: begun)
        try:
            await self._park(plan.exhausted)
            if plan.items:
                wanted = {row.error_id for item in plan.items for row in item.rows}
                await self._claims.gather(wanted, self._pace.stop, keep=plan.forecast.gone)
                self._done.letters += await self._claims.settle(self._settled)
                await self._send(plan.items)
            await self._rounds.change(begun.round_id, lambda known: replace(known or begun, stage="sent"))
        finally:
            await self._claims.give_back()
        await mark_standings({item.fingerprint for item in everything}, self._tools.errors, self._tools.means)
        return self._done

    async def _park(self, items: Sequence[Item]) -> None:
        if not items:
            return
        files = await self._restater.make((row for item in items for row in item.rows), self._restating("parked", 0))
        uris = [file.uri for file in files]
        await self._rounds.put(self._done.round_id, Portion(0, [], uris))
        await self._restater.store(files)
        await self._restater.announce(uris)
        self._done.parked = len(items)

    async def _send(self, items: Sequence[Item]) -> None:
        """Portion by portion. What fails in between ends the run, when what was sent before is written down."""
        portion, chunk = _Open(1, self._clock.monotonic()), list[Parcel]()
        originals = OriginalsReader(self._tools.errors, self._tools.means)
        parcels = Parcels(self._done.round_id, originals, self._tools.notice_of, in_hand=self._claims.original)
        try:
            async for made in parcels.of(items):
                if isinstance(made, Refused):
                    self._done.refused[made.why] += len(made.items)
                    self._told(len(made.items))
                    continue
                chunk.append(made)
                if self._ready(chunk):
                    await self._post(chunk, portion)
                if portion.full(self._clock.monotonic()):
                    await self._write_down(portion)
                    portion = _Open(portion.number + 1, self._clock.monotonic())
                if self._pace.stop():
                    self._done.stopped = True
                    break
            await self._post(chunk, portion)
        except (TransientError, SetupError):
            with suppress(TransientError, SetupError):
                await self._write_down(portion)
            raise
        await self._write_down(portion)

    def _ready(self, chunk: Sequence[Parcel]) -> bool:
        size, items = sum(one.outgoing.size_bytes for one in chunk), sum(len(one.items) for one in chunk)
        return len(chunk) >= self._pace.chunk or size >= CHUNK_BYTES_MAX or items >= PORTION_ITEMS

    async def _post(self, chunk: list[Parcel], portion: _Open) -> None:
        """Send these as soon as the rate allows, unless it is to stop."""
        if not await self._pace.turn():
            self._done.stopped |= bool(chunk)
        else:
            by_layer: dict[str, list[Parcel]] = {}
            for parcel in chunk:
                by_layer.setdefault(parcel.layer, []).append(parcel)
            for layer, some in by_layer.items():
                await self._tools.queues[layer].send([parcel.outgoing for parcel in some])
                portion.parcels += [replace(parcel, outgoing=Outgoing("")) for parcel in some]  # bodies can go
                self._told(sum(len(parcel.items) for parcel in some))
            self._pace.sent(len(chunk))
        chunk.clear()

    async def _write_down(self, portion: _Open) -> None:
        if not portion.parcels:
            return
        pairs = [pair for parcel in portion.parcels for pair in parcel.items]
        rows = [row for item, _ in pairs for row in item.rows]
        files = await self._restater.make(rows, self._restating("reprocessed", portion.number))
        uris = [file.uri for file in files]
        await self._rounds.put(self._done.round_id, Portion(portion.number, [sent for _, sent in pairs], uris))
        await self._restater.store(files)
        await self._restater.announce(uris)
        self._done.sent += len(pairs)
        self._done.messages += len(portion.parcels)
        self._settled |= {row.error_id: row.failed_at for row in rows}
        await self._claims.keep()
        self._done.letters += await self._claims.settle(self._settled)

    def _restating(self, state: Literal["reprocessed", "parked"], number: int) -> Restating:
        return Restating(state, self._done.round_id, self._began_at, f"portion {number}")
