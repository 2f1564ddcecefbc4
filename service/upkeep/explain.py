"""What a raw file's figures say: each difference is explained, or flagged. Nothing here waits or asks.

Three equations (design: "it adds up, from the stores"), each for one raw file, and each difference has its finding:

    raw        records of the raw file = rows of its refined files + rejected records
    refined    rows of its refined files = rows that the ledger has of them
    table      rows that the ledger says were brought = rows in the table
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal

from service.core.moments import utc
from service.upkeep.books import Booked
from service.upkeep.lake import Made, RawFile, definition_in
from service.upkeep.rejected import Rejected

Equation = Literal["raw", "refined", "table"]
Mend = Literal["announce", "load", "replay"]
"""The raw file's notice again; its refined files' notice again; or the raw file refined again in their place."""
Kind = Literal[
    "in_flight",
    "orphan",
    "sent_back",
    "rejected_whole",
    "refined_twice",
    "refined_since",
    "outranked",
    "raw_gone",
    "lost_again",
    "unreadable",
    "not_refined",
    "incomplete",
    "too_many",
    "not_loaded",
    "half_replayed",
    "leftover",
    "refined_gone",
    "other_file",
    "ledger_sum",
    "rows_missing",
    "rows_extra",
    "booked_twice",
    "twice",
]
EXPLAINED: frozenset[Kind] = frozenset(
    {"in_flight", "orphan", "sent_back", "rejected_whole", "refined_twice", "refined_since", "outranked", "raw_gone"}
)
SENTENCES: dict[Kind, str] = {
    "in_flight": "on its way: younger than {minutes} min",
    "orphan": "landed again in other files, after a crash before this one was announced",
    "sent_back": "rejected and sent back, not yet in a committed file",
    "rejected_whole": "rejected as a whole file: acequia reprocess list",
    "refined_twice": "refined again, by a second notice or because they were sent back; the table has each record once",
    "refined_since": "rejected before and refined since, under a mended definition; their error rows do not know it",
    "outranked": "given way to a higher version of the record from another file",
    "raw_gone": "the raw file is gone, so its records cannot be counted or replayed",
    "lost_again": "sent back over 16 days ago and never came: the quarantine layer opens them again, if it runs",
    "unreadable": "the raw file cannot be opened: restore it from the bucket's versions",
    "not_refined": "no refined file and no rejection: its notice was lost, or still waits on the refine queue",
    "incomplete": "neither refined nor rejected: replay the day, once no dead letters wait for the quarantine layer",
    "too_many": "more refined and rejected than the raw file holds: report this",
    "not_loaded": "not in the ledger: the refined file's notice was lost, waits on the load queue, or was refused",
    "half_replayed": "not in the ledger, beside files of another definition: of a replay that was not loaded",
    "leftover": "a replay has put others in its place, but it still lies in the lake: replay the day to remove it",
    "refined_gone": "loaded, but the refined file is gone from the lake: replay the day",
    "other_file": "the refined file is not of the size that was loaded: replay the day",
    "ledger_sum": "the ledger's row does not add up: inserted + duplicate + replaced is not its rows",
    "rows_missing": "the ledger says that they were loaded, but the table has them not: replay the day",
    "rows_extra": "in the table, but no ledger row says that they were loaded",
    "booked_twice": "the ledger has the refined file more than once: report this",
    "twice": "records that stand in the table more than once",
}
Bounds = tuple[int, int]
"""At least, and at the most."""
SENT_BACK_MAX = timedelta(days=16)
"""What was sent back longer ago is lost: rounds of reprocessing are given up after 15 days."""
MENDS: dict[Kind, Mend] = {"not_refined": "announce", "not_loaded": "load", "half_replayed": "replay"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference. `count` is in records or rows, negative where there are more on the right side.

    `equation` says in which figures it shows (None: in none of the three), `uris` are the files that it is about, and
    `facts` those of their raw file.
    """

    kind: Kind
    equation: Equation | None
    count: int
    uris: Sequence[str]
    facts: "Facts | None" = None

    @property
    def flagged(self) -> bool:
        """Whether nothing explains it."""
        return self.kind not in EXPLAINED

    @property
    def mend(self) -> Mend | None:
        """What `--repair` does about it."""
        return MENDS.get(self.kind)


@dataclass(frozen=True, slots=True)
class Output:
    """A refined file: as it lies in the lake, as the ledger has it, or both; `rows` is what it holds."""

    uri: str
    rows: int
    made: Made | None
    booked: Booked | None

    @property
    def live(self) -> bool:
        """Whether its rows count."""
        return self.booked is None or self.booked.live


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the stores say about one raw file. `records` is None where it cannot be opened.

    `landed_elsewhere`: every message of it lies in other, refined files too. `again` bounds the refined rows whose
    record another refining of the same raw file has brought as well.
    """

    uri: str
    raw: RawFile | None
    records: int | None
    landed_elsewhere: bool
    outputs: Sequence[Output]
    rejected: Rejected
    table_rows: int
    again: Bounds = (0, 0)

    @property
    def refined_rows(self) -> int:
        """Rows of the files whose rows count."""
        return sum(one.rows for one in self.outputs if one.live)

    @property
    def rows_again(self) -> int:
        """How many of them are of records that count already: so many that the sum comes out, if that may be."""
        least, most = self.again
        surplus = most if self.records is None else self.refined_rows + self.rejected.waiting - self.records
        return min(max(surplus, least), most)

    @property
    def brought(self) -> int:
        """Rows that the ledger says are in the table because of this raw file."""
        return sum(one.booked.brought for one in self.outputs if one.booked is not None and one.live)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is younger than `in_flight` may be on its way. `versioned`: a higher version takes a row's place."""

    now: datetime
    in_flight: timedelta
    versioned: bool

    def young(self, moment: datetime) -> bool:
        """Whether what was stored then may still be on its way."""
        return self.now - moment < self.in_flight

    def lost(self, sent_at: datetime | None) -> bool:
        """Whether what was sent back then (UTC without a zone) cannot come any more."""
        return sent_at is not None and self.now - utc(sent_at) > SENT_BACK_MAX


def explain(facts: Facts, rules: Rules) -> Iterator[Finding]:
    """Every difference of one raw file's figures."""
    outputs = (found for output in facts.outputs for found in _output(facts, output, rules))
    for found in chain(_raw(facts, rules), outputs, _table(facts, rules)):
        yield replace(found, facts=facts)


def _raw(facts: Facts, rules: Rules) -> Iterator[Finding]:
    accounted = facts.refined_rows - facts.rows_again + facts.rejected.waiting
    if facts.rows_again:
        yield Finding("refined_twice", "raw", -facts.rows_again, [facts.uri])
    if facts.raw is None:
        if accounted:
            yield Finding("raw_gone", "raw", -accounted, [facts.uri])
        return
    if facts.records is None:
        yield Finding("unreadable", "raw", -accounted, [facts.uri])
        return
    gap = facts.records - accounted
    if gap:
        kind = _missing(facts, facts.raw, gap, rules) if gap > 0 else _too_many(facts)
        yield Finding(kind, "raw", gap, [facts.uri])


def _missing(facts: Facts, raw: RawFile, gap: int, rules: Rules) -> Kind:
    """Why records of the raw file are neither refined nor rejected."""
    if facts.rejected.whole:
        return "rejected_whole"
    if rules.young(raw.stored_at):
        return "in_flight"
    if facts.rejected.whole_sent_back or facts.rejected.sent_back >= gap:
        return "lost_again" if rules.lost(facts.rejected.sent_at) else "sent_back"
    if facts.outputs:
        return "incomplete"
    return "orphan" if facts.landed_elsewhere else "not_refined"


def _too_many(facts: Facts) -> Kind:
    """A notice that comes again after the definition has changed passes what was rejected under the old one."""
    assert facts.records is not None
    return "refined_since" if facts.refined_rows - facts.rows_again <= facts.records else "too_many"


def _output(facts: Facts, output: Output, rules: Rules) -> Iterator[Finding]:
    made, booked = output.made, output.booked
    if booked is None:
        if made is not None:
            yield Finding(_unbooked(facts, made, rules), "refined", output.rows, [output.uri])
        return
    off = booked.row_count - booked.inserted - booked.duplicate - booked.replaced
    if off and booked.live:
        yield Finding("ledger_sum", "refined", off, [output.uri])
    if made is None:
        if booked.live:
            yield Finding("refined_gone", None, booked.row_count, [output.uri])
    elif not booked.live:
        superseded_at = booked.superseded_at or rules.now
        young = rules.young(utc(superseded_at))
        yield Finding("in_flight" if young else "leftover", None, booked.row_count, [output.uri])
    elif made.content_length_bytes != booked.content_length_bytes:
        yield Finding("other_file", "refined", output.rows - booked.row_count, [output.uri])


def _unbooked(facts: Facts, made: Made, rules: Rules) -> Kind:
    """Why the ledger does not know a refined file."""
    if rules.young(made.stored_at):
        return "in_flight"
    definitions = {definition_in(one.uri) for one in facts.outputs}
    return "half_replayed" if definitions - {made.definition} else "not_loaded"


def _table(facts: Facts, rules: Rules) -> Iterator[Finding]:
    missing = facts.brought - facts.table_rows
    if missing > 0:
        yield Finding("outranked" if rules.versioned else "rows_missing", "table", missing, [facts.uri])
    elif missing < 0:
        yield Finding("rows_extra", "table", missing, [facts.uri])


def bounded(findings: Iterable[Finding], replaced: int) -> Iterator[Finding]:
    """The same, but no more rows have given way than the ledger says were replaced: the others are missing."""
    for one in findings:
        if one.kind != "outranked":
            yield one
            continue
        explained = min(one.count, replaced)
        replaced -= explained
        if explained:
            yield replace(one, count=explained)
        if explained < one.count:
            yield replace(one, kind="rows_missing", count=one.count - explained)
