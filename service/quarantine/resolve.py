"""When what was sent back has come to where it should be: its error rows say `resolved`, and people are mailed.

A worker beside the quarantine layer. It looks at every round that is not over, at first each minute, then ever more
seldom. What is in a committed file for a while, and did not fail again, is resolved, also under the causes for which
rounds before sent it back. A round is over when nothing of it is waited for any more, or after `ROUND_DAYS_MAX`: what
has not come by then is lost: people are mailed, and its rows say `open` again, so that it can be chosen once more.

Durable effects, in this order: what is lost is counted, for mail → the round says which error files it owes → error
rows stored → notice sent to the load queue → fingerprints marked (by which the mailer knows) → the round owes nothing,
and is maybe over.

    dies after the count       the next look finds the same to be lost, and the round counted
    dies after the round       nothing lies at those addresses: the next look owes them anew
    dies after the rows        the next look announces them
    dies after the notice      they are announced twice; the ledger knows them
    dies after the marks       the same, and marking again changes nothing

Of a round whose sending died, the portions that were written down are announced, and it is taken for sent. Any number
of these workers may look at once: what one has done the others find done, or do once more in the same words.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from service.core.clock import Deadline
from service.core.errors import RejectedError, SetupError, TransientError
from service.core.events import ResolveFailed, RoundLooked
from service.core.marks import LandedMarks
from service.core.ports import Means, Queue
from service.core.retry import Backoff
from service.core.zones import Zone, raw_place
from service.quarantine.reprocess.fates import (
    SKEW,
    Facts,
    Fate,
    facts_of,
    fate_of,
    hidden_now,
    lost_now,
    settled_now,
    waits_for,
    without_rows,
)
from service.quarantine.reprocess.restate import Restater, Restating
from service.quarantine.reprocess.rounds import Awaited, Round, Rounds, SentItem, Stage
from service.quarantine.reprocess.standing import mark_standings, mark_without_rows
from service.quarantine.reprocess.table import ErrorRow, read_table
from service.quarantine.states import States
from service.quarantine.until_drained import UntilDrained

MARKS = "marks/"
"""Where land says what it landed of a round, in the errors zone."""
LOOK_SECONDS = 60.0
"""Between two looks at the list of rounds, and at a young round."""
LOOKS_A_DOUBLING = 4
"""An older round is looked at again when it is so much of its age older."""
STALE_SECONDS = 900.0
"""Of a round that is being sent something is stored at least every minute or so, unless who sends it has died."""
ROUND_DAYS_MAX = 15
"""What has not come by then (queues keep messages for 14 days) is not waited for any more: it is open again."""
ROUND_AGE_MAX = timedelta(days=ROUND_DAYS_MAX)
ROWS_AT_A_TIME = 10_000
UNHEARD_SECONDS = 3_600.0
"""A round of which nothing is committed by then may have failed as a whole."""


class Committed(Protocol):
    """What the ledgers and the lake say."""

    async def __call__(self, asked: Sequence[Awaited], since: datetime, /) -> set[Awaited]:
        """Which of these are in the warehouse, all of each. The moment is when the round began: of a whole batch a file
        must have been loaded since then.
        """
        ...

    async def lying(self, asked: Collection[Awaited], /) -> set[Awaited]:
        """Of which of these landed batches any refined file lies in the lake, loaded or not."""
        ...


@dataclass(slots=True)
class _Watched:
    """What this process remembers of a round: when to look again, and since when it knows what to be committed."""

    due: float = 0.0
    seen: dict[Awaited, float] = field(default_factory=dict)


class Resolve:
    """`settle_seconds` is for how long what is committed may still turn out to have failed in part: as long as a dead
    letter takes to become an error row.
    """

    def __init__(
        self,
        committed: Committed,
        *,
        zones: tuple[Zone, Zone],
        load_queue: Queue,
        settle_seconds: float,
        backoff: Backoff,
        means: Means,
        told: Callable[[RoundLooked | ResolveFailed], None],
    ) -> None:
        self._committed = committed
        self._raw, self._errors = zones
        self._settle_seconds = settle_seconds
        self._backoff = backoff
        self._means = means
        self._told = told
        self._rounds = Rounds(self._errors, means)
        self._restater = Restater(self._errors, load_queue, means)
        self._watched: dict[str, _Watched] = {}
        self._over: dict[str, datetime] = {}
        self._life = UntilDrained()

    def drain(self, deadline: Deadline) -> None:
        """Begin no look any more; the running one may end by then."""
        self._life.drain(deadline)

    async def run(self) -> None:
        """Look, rest, until drained."""
        await self._life.run(self._work)

    async def _work(self) -> None:
        failures = 0
        while not self._life.draining.is_set():
            try:
                await self.look()
                failures, wait = 0, LOOK_SECONDS
            except (TransientError, SetupError) as down:
                failures += 1
                wait = self._backoff.seconds(failures)
                kind: Literal["transient", "setup"] = "setup" if isinstance(down, SetupError) else "transient"
                self._told(ResolveFailed(kind, str(down), wait))
            await self._life.rest(wait)

    async def look(self) -> None:
        """Look at every round whose turn it is."""
        now = self._means.clock.now()
        for seen in await self._rounds.seen():
            if self._over.get(seen.round_id) == seen.stored_at or self._life.draining.is_set():
                continue
            watched = self._watched.setdefault(seen.round_id, _Watched())
            if self._means.clock.monotonic() < watched.due:
                continue
            round_ = await self._rounds.read(seen.round_id)
            if round_ is None or round_.stage == "over":
                # Who sent it may only have slept: it is over for as long as nothing more of it is stored.
                self._over[seen.round_id] = seen.stored_at
                self._watched.pop(seen.round_id)
            elif round_.stage == "sent" or (now - seen.stored_at).total_seconds() >= STALE_SECONDS:
                await self._try(round_, watched)

    async def _try(self, round_: Round, watched: _Watched) -> None:
        """Look at it; what has to be set right about one round holds up no other."""
        try:
            await self._look_at(round_, watched)
        except SetupError as wrong:
            self._told(ResolveFailed("setup", f"round {round_.round_id}: {wrong}", LOOK_SECONDS))

    async def _look_at(self, round_: Round, watched: _Watched) -> None:
        portions = await self._rounds.portions(round_.round_id)
        if round_.stage == "sending":
            await self._restater.announce(uri for portion in portions for uri in portion.uris)
        if round_.stage == "sending" or round_.owed:
            await self._restater.announce(round_.owed)
            await self._change(round_, stage="sent", paid=round_.owed)
        items = [item for portion in portions for item in portion.items]
        waits = await self._waits(round_, items)
        ripe = await self._ripe(round_, watched, {one for some in waits for one in some})
        age = self._means.clock.now() - round_.began_at
        expired = age > ROUND_AGE_MAX and ripe >= watched.seen.keys()
        if ripe or not items or age.total_seconds() >= UNHEARD_SECONDS:
            await self._decide(round_, list(zip(items, waits, strict=True)), ripe, expired=expired)
        self._plan(round_, watched)

    async def _decide(
        self,
        round_: Round,
        items: Sequence[tuple[SentItem, Sequence[Awaited]]],
        ripe: Collection[Awaited],
        *,
        expired: bool,
    ) -> None:
        table = await read_table(self._errors, self._means, round_.since)
        batches = {one.batch_id for _, some in items for one in some}
        facts = await self._means.threads.run(facts_of, round_, [item for item, _ in items], batches, table)
        landed = {one for item, waits in items if item.layer == "land" for one in waits}
        lying = await self._committed.lying(landed) if expired and landed else landed
        fates = [
            fate_of(item, facts, waits, ripe.__contains__, lying=lying.__contains__, expired=expired)
            for item, waits in items
        ]
        counts = Counter[Fate](fates)
        by_fate: dict[Fate, list[SentItem]] = {"passed": [], "failed": [], "waiting": []}
        for (item, _), fate in zip(items, fates, strict=True):
            by_fate[fate].append(item)
        rows = settled_now(by_fate["passed"], facts)
        await self._restate("resolved", round_, rows)
        await self._restate("open", round_, hidden_now(by_fate["failed"], facts, round_.round_id))
        over = expired or not counts["waiting"]
        if expired:
            await self._give_up(round_, by_fate["waiting"], facts)
        if rows or over:
            await mark_standings(_fingerprints(facts), self._errors, self._means)
        if over:
            await self._end_without_rows(round_, by_fate, facts)
            await self._change(round_, stage="over")
        told = RoundLooked(round_.round_id, len(rows), counts["passed"], counts["failed"], counts["waiting"], over)
        self._told(told)

    async def _give_up(self, round_: Round, waiting: Sequence[SentItem], facts: Facts) -> None:
        """Have what never came be open again, and told of."""
        rows = lost_now(waiting, facts, round_.round_id)
        lost = Counter(facts.known[row.error_id].fingerprint for row in rows)
        lost.update(item.fingerprint for item in without_rows(waiting, facts))
        await States(self._errors, self._means).miss(lost, round_.round_id)
        await self._restate("open", round_, rows)

    async def _end_without_rows(self, round_: Round, by_fate: Mapping[Fate, Sequence[SentItem]], facts: Facts) -> None:
        """Have fingerprints of what has no error rows stand as their last round ends."""
        lost = {item.fingerprint for item in without_rows(by_fate["waiting"], facts)}
        passed = {item.fingerprint for item in without_rows(by_fate["passed"], facts)} - lost
        if passed:
            passed -= await self._sent_elsewhere(round_.round_id)
        await mark_without_rows(lost, "open", self._errors, self._means)
        await mark_without_rows(passed, "resolved", self._errors, self._means)

    async def _sent_elsewhere(self, round_id: str) -> set[str]:
        """Fingerprints of everything in rounds that are not over yet."""
        found: set[str] = set()
        for seen in await self._rounds.seen():
            other = None if seen.round_id == round_id else await self._rounds.read(seen.round_id)
            if other is not None and other.stage != "over":
                portions = await self._rounds.portions(seen.round_id)
                found.update(item.fingerprint for portion in portions for item in portion.items)
        return found

    async def _restate(self, state: Literal["resolved", "open"], round_: Round, rows: Sequence[ErrorRow]) -> None:
        """Have these rows say so. The same rows make the same files."""
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            some = rows[start : start + ROWS_AT_A_TIME]
            digest = hashlib.sha256("\n".join(sorted(row.error_id for row in some)).encode()).hexdigest()
            restating = Restating(state, round_.round_id, round_.began_at, f"{state} {digest}")
            files = await self._restater.make(some, restating)
            uris = tuple(file.uri for file in files)
            await self._change(round_, owed=uris)
            await self._restater.store(files)
            await self._restater.announce(uris)

    async def _change(
        self, round_: Round, *, stage: Stage | None = None, owed: Sequence[str] = (), paid: Sequence[str] = ()
    ) -> None:
        """A round that is over owes nothing."""

        def decide(known: Round | None) -> Round:
            now = known or round_
            left = [] if stage == "over" else [*dict.fromkeys([*now.owed, *owed])]
            return replace(now, stage=stage or now.stage, owed=tuple(uri for uri in left if uri not in paid))

        await self._rounds.change(round_.round_id, decide)

    async def _waits(self, round_: Round, items: Sequence[SentItem]) -> list[Sequence[Awaited]]:
        landed: dict[str, list[Awaited]] = {}
        if any(item.layer == "land" for item in items):
            landed = await self._landed(round_)
        return [waits_for(item, landed) for item in items]

    async def _landed(self, round_: Round) -> dict[str, list[Awaited]]:
        """Where land says that messages came to since the round began, by error id, whichever round sent them."""
        found: dict[str, list[Awaited]] = {}
        for uri in [uri async for uri in self._marks(round_)]:
            read = await self._means.store.read(uri)
            try:
                marks = LandedMarks.from_json(b"" if read is None else read[0])
                place = raw_place(self._raw, marks.raw_file)
            except (ValueError, TypeError, KeyError, RejectedError):
                continue  # gone, or none of land's: it proves nothing
            for mark in marks.marks:
                found.setdefault(mark.error_id, []).append(Awaited(place.dataset, place.batch_id))
        return found

    async def _marks(self, round_: Round) -> AsyncIterator[str]:
        """Those of all days since the round began; a batch's id begins with its day."""
        began, days = round_.began_at - SKEW, self._means.clock.now() - round_.began_at
        for number in range(days.days + 3):
            prefix = self._errors.uri(f"{MARKS}{began + timedelta(days=number):%Y%m%d}")
            async for page in self._means.store.pages(prefix):
                for listed in page:
                    yield listed.uri

    async def _ripe(self, round_: Round, watched: _Watched, waits: Collection[Awaited]) -> set[Awaited]:
        """What is committed for long enough that nothing about it can be unknown."""
        asked = sorted(set(waits) - watched.seen.keys(), key=str)
        found = await self._committed(asked, round_.began_at) if asked else set()
        now = self._means.clock.monotonic()
        watched.seen |= dict.fromkeys(found, now)
        return {one for one, since in watched.seen.items() if now - since >= self._settle_seconds}

    def _plan(self, round_: Round, watched: _Watched) -> None:
        """When to look again: soon while something is about to be ripe, else ever later, and when it is given up."""
        now, age = self._means.clock.monotonic(), self._means.clock.now() - round_.began_at
        left = max(0.0, (ROUND_AGE_MAX - age).total_seconds())
        pause = max(LOOK_SECONDS, min(age.total_seconds() / LOOKS_A_DOUBLING, left))
        unripe = [since + self._settle_seconds for since in watched.seen.values() if now - since < self._settle_seconds]
        watched.due = min([now + pause, *unripe])


def _fingerprints(facts: Facts) -> set[str]:
    return {known.fingerprint for known in facts.known.values()}
