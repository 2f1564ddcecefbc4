"""What is known of each fingerprint, for mail: one small object each, `fingerprints/<fingerprint>.json`, errors zone.

Two processes may change one at once, so every change is a compare-and-set: read, decide, replace if it is still what
was read. Each change can be repeated and does nothing the second time, because its answer may be lost.

A letter counts once, however often it is received and in whichever batch, as long as it is remembered: by a short
hash, the last `LETTERS_MAX` of each fingerprint. A record counts once, in whichever letters it is told of, as long as
its place is remembered (`known.py`); what was sent back and has failed again counts once more, and so does all that
fails after its fingerprint was resolved. What is forgotten and comes again, in another batch, counts again: then
`failed` says about how many, and more rather than fewer. Exact figures are those of the errors dataset.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, get_args

from service.core.errors import ContendedError
from service.core.ports import Means, ObjectStore
from service.core.zones import Zone
from service.quarantine.known import Brought, KnownRecords

VERSION = 1
PREFIX = "fingerprints/"
"""Where all of this lies in the errors zone."""
TRIES_MAX = 10
LETTER_ID_CHARS = 8
"""Of an id of a letter: 48 bits, so that among those that are remembered none is taken for another one."""
BATCHES_MAX = 20
ROUNDS_MAX = 20
LETTERS_MAX = 4_000
"""More than a batch has of one fingerprint but in a storm of messages that fail whole; 32 kB of the object."""
SENTENCE_CHARS_MAX = 500
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)

Standing = Literal["open", "reprocessed", "resolved", "parked"]
News = Literal["new", "lost", "more", "resolved"]
"""A fingerprint fails for the first time, or again after it was resolved; is open again because what was sent back
never came; fails on; is resolved.
"""


@dataclass(frozen=True, slots=True)
class Failed:
    """`count` failures of one fingerprint in one batch, and when they failed first and last.

    `letters` says what each letter brought; without it, nothing but the batch is remembered.
    """

    fingerprint: str
    layer: str
    dataset: str
    code: str
    field: str | None
    sentence: str
    count: int
    first: datetime
    last: datetime
    letters: tuple[Brought, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a mail says of a fingerprint: so many failures in all, whether they are resolved, how many were lost."""

    fingerprint: str
    failed: int
    resolved: bool
    lost: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """A fingerprint; the sentence is the latest failure's. `untold_since` is set while something was not mailed.

    `mailed` is the count that the last mail told, `mailed_resolved` whether that mail said so; None before the first.
    `lost` are failures that were sent back in `lost_in` and never came, as far as no mail has told of them.
    `letters` are the ids of those that are counted, one after the other, the latest last; `records` are the records, as
    `KnownRecords` has them.
    """

    fingerprint: str
    layer: str
    dataset: str
    code: str
    field: str | None
    sentence: str
    first_failed_at: datetime
    last_failed_at: datetime
    failed: int
    batches: tuple[str, ...]
    untold_since: datetime | None
    state: Standing = "open"
    mailed: int = 0
    mailed_at: datetime | None = None
    mailed_resolved: bool | None = None
    lost: int = 0
    lost_in: tuple[str, ...] = ()
    letters: str = ""
    records: str = ""

    @classmethod
    def began(cls, failed: Failed, batch_id: str, now: datetime) -> "State":
        """It fails for the first time."""
        records = KnownRecords("")
        records.fresh(failed.letters)
        return cls(
            fingerprint=failed.fingerprint,
            layer=failed.layer,
            dataset=failed.dataset,
            code=failed.code,
            field=failed.field,
            sentence=failed.sentence[:SENTENCE_CHARS_MAX],
            first_failed_at=failed.first,
            last_failed_at=failed.last,
            failed=failed.count,
            batches=(batch_id,),
            untold_since=now,
            letters=_last_letters("", failed.letters),
            records=records.text(),
        )

    def counted(self, failed: Failed, batch_id: str, now: datetime) -> "State":
        """It failed again, and so it is open again. Letters that are known change nothing, unless it is not open any
        more and they tell of later than all that is known: their rows are open then. Only what counts is news.
        """
        remembered = {self.letters[at : at + LETTER_ID_CHARS] for at in range(0, len(self.letters), LETTER_ID_CHARS)}
        letters = [one for one in failed.letters if one.letter_id not in remembered]
        known = batch_id in self.batches or bool(failed.letters and not letters)
        if known and (self.state == "open" or failed.last <= self.last_failed_at):
            return self
        records = KnownRecords("" if self.state == "resolved" else self.records)
        fresh = records.fresh(letters) if failed.letters or known else failed.count
        if self.state == "resolved":
            fresh = sum(one.count for one in letters) or failed.count
        return replace(
            self,
            sentence=self.sentence if failed.last < self.last_failed_at else failed.sentence[:SENTENCE_CHARS_MAX],
            first_failed_at=min(self.first_failed_at, failed.first),
            last_failed_at=max(self.last_failed_at, failed.last),
            failed=self.failed + fresh,
            batches=(*self.batches, batch_id)[-BATCHES_MAX:],
            untold_since=(self.untold_since or now) if fresh else self.untold_since,
            state="open",
            letters=_last_letters(self.letters, letters),
            records=records.text(),
        )

    def marked(self, standing: Standing, now: datetime) -> "State":
        """It stands otherwise now; that it is resolved is worth a mail."""
        news = standing == "resolved" and self.mailed_resolved is not True
        return replace(self, state=standing, untold_since=(self.untold_since or now) if news else self.untold_since)

    def missed(self, count: int, round_id: str, now: datetime) -> "State":
        """So much of it was sent back in that round and never came. A round that is known changes nothing."""
        if round_id in self.lost_in:
            return self
        rounds = (*self.lost_in, round_id)[-ROUNDS_MAX:]
        return replace(self, lost=self.lost + count, lost_in=rounds, untold_since=self.untold_since or now)

    def told(self, told: Told, at: datetime) -> "State":
        """That mail went out at that moment; what came since then is still to be told."""
        if self.mailed_at is not None and at <= self.mailed_at:
            return self
        lost = 0 if told.resolved else max(0, self.lost - told.lost)
        all_told = self.failed <= told.failed and (told.resolved or self.state != "resolved") and not lost
        return replace(
            self,
            mailed=min(told.failed, self.failed),
            mailed_at=at,
            mailed_resolved=told.resolved,
            lost=lost,
            untold_since=None if all_told else at,
        )

    @property
    def news(self) -> News | None:
        """What there is to mail about it."""
        if self.untold_since is None:
            return None
        if self.state == "resolved":
            return "resolved"
        if self.lost:
            return "lost"
        if self.failed <= self.mailed:
            return None
        return "more" if self.mailed_resolved is False else "new"

    def to_json(self) -> bytes:
        """The object's body."""
        return json.dumps({"v": VERSION, **asdict(self)}, default=datetime.isoformat, indent=1).encode()

    @classmethod
    def from_json(cls, body: bytes) -> "State | None":
        """Read a body; None for what `to_json` would not write: nobody's record depends on it, so it begins anew."""
        try:
            given: dict[str, Any] = json.loads(body)
            if given["v"] != VERSION or given["state"] not in get_args(Standing):
                return None
            return cls(
                fingerprint=str(given["fingerprint"]),
                layer=str(given["layer"]),
                dataset=str(given["dataset"]),
                code=str(given["code"]),
                field=None if given["field"] is None else str(given["field"]),
                sentence=str(given["sentence"]),
                first_failed_at=moment(given["first_failed_at"]),
                last_failed_at=moment(given["last_failed_at"]),
                failed=int(given["failed"]),
                batches=tuple(given["batches"]),
                untold_since=None if given["untold_since"] is None else moment(given["untold_since"]),
                state=given["state"],
                mailed=int(given["mailed"]),
                mailed_at=None if given["mailed_at"] is None else moment(given["mailed_at"]),
                mailed_resolved=given["mailed_resolved"],
                lost=int(given.get("lost", 0)),  # older versions know of none
                lost_in=tuple(given.get("lost_in", ())),
                letters=str(given.get("letters", "")),
                records=str(given.get("records", "")),
            )
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            return None


def moment(text: str) -> datetime:
    """A moment with its zone, as UTC; raises ValueError or OverflowError for anything else."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a moment without its zone")
    return found.astimezone(UTC)


class States:
    """All fingerprints of an errors zone. Raises what the store raises, and ContendedError when others were faster."""

    def __init__(self, zone: Zone, means: Means) -> None:
        self._zone = zone
        self._means = means

    async def count(self, failures: Iterable[Failed], batch_id: str) -> None:
        """Those failures came with that batch. Counting the same batch again changes nothing."""
        by_fingerprint = sorted(failures, key=attrgetter("fingerprint"))
        now = self._means.clock.now()
        together = [_together(list(same), now) for _, same in groupby(by_fingerprint, key=attrgetter("fingerprint"))]

        async def one(failed: Failed) -> None:
            def decide(state: State | None) -> State | None:
                return State.began(failed, batch_id, now) if state is None else state.counted(failed, batch_id, now)

            await self._change(failed.fingerprint, decide)

        await self._means.fan_out.run([one(failed) for failed in together])

    async def mark(self, seen: State, standing: Standing) -> bool:
        """Have it stand so, unless it has failed since it was seen like that; says whether it does."""
        now = self._means.clock.now()
        stands = False

        def decide(state: State | None) -> State | None:
            nonlocal stands
            stands = state is not None and (state.failed, state.batches) == (seen.failed, seen.batches)
            return state.marked(standing, now) if state is not None and stands else None

        await self._change(seen.fingerprint, decide)
        return stands

    async def miss(self, counts: Mapping[str, int], round_id: str) -> None:
        """So much of these was sent back in that round and never came. Saying it again changes nothing."""
        now = self._means.clock.now()

        async def one(fingerprint: str, count: int) -> None:
            await self._change(fingerprint, lambda state: state and state.missed(count, round_id, now))

        await self._means.fan_out.run([one(name, count) for name, count in counts.items()])

    async def told(self, told: Sequence[Told], at: datetime) -> None:
        """A mail that says this went out at that moment. Telling it again changes nothing."""

        async def one(one: Told) -> None:
            await self._change(one.fingerprint, lambda state: state and state.told(one, at))

        await self._means.fan_out.run([one(each) for each in told])

    async def read(self, fingerprints: Iterable[str]) -> list[State]:
        """These, as they are now, but without their letters and records; those that are not there are left out."""

        async def one(name: str) -> State | None:
            found = await self._means.store.read(self.uri(name))
            state = None if found is None else State.from_json(found[0])
            return None if state is None or state.fingerprint != name else replace(state, letters="", records="")

        states = await self._means.fan_out.run([one(name) for name in fingerprints])
        return [state for state in states if state is not None]

    def uri(self, fingerprint: str) -> str:
        """Where a fingerprint's object lies."""
        return self._zone.uri(f"{PREFIX}{fingerprint}.json")

    async def _change(self, fingerprint: str, decide: Callable[[State | None], State | None]) -> None:
        def amended(body: bytes | None) -> bytes | None:
            state = decide(None if body is None else State.from_json(body))
            return None if state is None else state.to_json()

        await amend(self._means.store, self.uri(fingerprint), amended)


async def amend(store: ObjectStore, uri: str, decide: Callable[[bytes | None], bytes | None]) -> None:
    """Compare and set, anew while somebody else is faster, a few times. `decide` gives None to leave all as it is."""
    for _ in range(TRIES_MAX):
        found = await store.read(uri)
        before, etag = (None, None) if found is None else found
        after = decide(before)
        if after is None or after == before or await store.replace(uri, after, etag=etag) is not None:
            return
    raise ContendedError("s3", f"{uri} was changed by others {TRIES_MAX} times in a row while it was to be changed")


def _last_letters(known: str, more: Sequence[Brought]) -> str:
    return (known + "".join(one.letter_id for one in more[-LETTERS_MAX:]))[-LETTERS_MAX * LETTER_ID_CHARS :]


def _together(same: Sequence[Failed], now: datetime) -> Failed:
    """Letters may come from anybody, so their moments are held within what can be."""
    return replace(
        max(same, key=attrgetter("last")),
        count=sum(one.count for one in same),
        first=min(max(EARLIEST, min(one.first for one in same)), now),
        last=min(max(EARLIEST, *(one.last for one in same)), now),
        letters=tuple(letter for one in same for letter in one.letters),
    )
