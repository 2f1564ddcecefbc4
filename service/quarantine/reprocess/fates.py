"""What became of what was sent back: of each item, whether it is in a committed file, failed again, or is on its way.

A failure that was seen only later, because its dead letter was still on its way, is not hidden by a verdict made too
early: its row is younger than the one that says `resolved` (`restate.py`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from service.core.dead_letter import Place
from service.core.moments import naive, utc
from service.quarantine.reprocess.rounds import Awaited, Round, SentItem
from service.quarantine.reprocess.table import ErrorRow, ErrorTable

Fate = Literal["passed", "failed", "waiting"]
SKEW = timedelta(minutes=5)
"""By so much clocks may differ."""
Committed = Callable[[Awaited], bool]
"""Whether something that is waited for is there."""

_AGAIN = """
SELECT error_id, layer, raw_file, row_index, record_index, message_id FROM error_rows
WHERE round_id = $round_id AND state = 'open'
"""
_LEFT = """
SELECT error_id, regexp_extract(raw_file, '([^/]+)[.]parquet$', 1) AS batch, row_index, message_id FROM latest
WHERE row_index IS NOT NULL AND state <> 'resolved' AND last_failed_at >= $since
  AND batch IN (SELECT unnest($batches::VARCHAR[]))
"""
_SINCE = """
SELECT raw_file, row_index, record_index FROM latest
WHERE row_index IS NOT NULL AND state IN ('open', 'parked') AND last_failed_at >= $since
  AND error_id NOT IN (SELECT unnest($error_ids::VARCHAR[]))
  AND thing IN (SELECT thing FROM latest WHERE error_id IN (SELECT unnest($error_ids::VARCHAR[])))
"""
"""The same records, failed for another cause since the round began: a replay has judged them meanwhile."""
_KNOWN = """
SELECT error_id, fingerprint, state, round_id, thing, _raw_file, last_failed_at FROM latest
WHERE error_id IN (SELECT unnest($error_ids::VARCHAR[]))
  OR state = 'reprocessed' AND round_id < $round_id
    AND thing IN (SELECT thing FROM latest WHERE error_id IN (SELECT unnest($error_ids::VARCHAR[])))
"""


@dataclass(frozen=True, slots=True)
class Known:
    """An error row as it is now, and the record or message that it is about."""

    fingerprint: str
    state: str
    round_id: str | None
    thing: str
    row: ErrorRow


@dataclass(slots=True)
class Facts:
    """What the error rows say about a round. `known` are those of its items, and those of the same things that rounds
    before it have sent back: they failed again for another cause then. `again` are failures of this round; `left` are
    failures of records that a message or a whole file gave when it was sent: they wait for a round of their own, and
    what gave them waits with them.
    """

    known: dict[str, Known] = field(default_factory=dict)
    again_ids: set[str] = field(default_factory=set)
    again_places: set[tuple[str, Place]] = field(default_factory=set)
    again_messages: set[tuple[str, str]] = field(default_factory=set)
    left_messages: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    left_rows: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    left_batches: set[str] = field(default_factory=set)


def facts_of(round_: Round, items: Sequence[SentItem], batches: Collection[str], table: ErrorTable) -> Facts:
    """Ask the rows. Work for a thread."""
    facts = Facts()
    for error_id, layer, raw_file, row, index, message_id in table.ask(_AGAIN, round_id=round_.round_id):
        facts.again_ids.add(error_id)
        if row is not None:
            facts.again_places.add((raw_file, (row, index)))
        elif message_id is not None:
            facts.again_messages.add((layer, message_id))
    since = naive(round_.began_at - SKEW)
    for error_id, batch, row, message_id in table.ask(_LEFT, since=since, batches=sorted(batches)):
        facts.left_messages.setdefault((batch, message_id), set()).add(error_id)
        facts.left_rows.setdefault((batch, row), set()).add(error_id)
        facts.left_batches.add(batch)
    ids = [error_id for item in items for error_id in item.error_ids]
    for raw_file, row, index in table.ask(_SINCE, since=since, error_ids=ids):
        facts.again_places.add((raw_file, (row, index)))
    for error_id, fingerprint, state, sent_in, thing, file, failed_at in table.ask(
        _KNOWN, error_ids=ids, round_id=round_.round_id
    ):
        facts.known[error_id] = Known(fingerprint, state, sent_in, thing, ErrorRow(error_id, file, utc(failed_at)))
    return facts


def fate_of(
    item: SentItem,
    facts: Facts,
    awaited: Sequence[Awaited],
    committed: Committed,
    *,
    lying: Committed,
    expired: bool,
) -> Fate:
    """What became of one item; `awaited` is what it waits for, by its own word or by land's marks.

    A message that came while records of it failed waits for them, but not beyond the end of an `expired` round: they
    stand in rows of their own. Where nothing of it is committed either, that is so only of a message of the records
    queue, of whose raw files nothing is `lying` in the lake: refine has rejected all of it. Else it counts as lost.
    """
    if _failed(item, facts):
        return "failed"
    found = [committed(one) for one in awaited]
    there = any(found) if item.layer == "land" else all(found) and bool(found)
    if not _left(item, facts, awaited):
        return "passed" if there else "waiting"
    told = there or (item.layer == "land" and not any(map(lying, awaited)))
    return "passed" if expired and told else "waiting"


def waits_for(item: SentItem, landed: Mapping[str, Sequence[Awaited]]) -> Sequence[Awaited]:
    """A message of the records queue came to wherever one of its error ids was landed."""
    if item.layer != "land":
        return item.awaited
    return [one for error_id in item.error_ids for one in landed.get(error_id, ())]


def settled_now(items: Iterable[SentItem], facts: Facts) -> list[ErrorRow]:
    """The error rows of these that do not say `resolved` yet, also those that only rounds before this one sent back."""
    own = [facts.known[error_id] for item in items for error_id in item.error_ids if error_id in facts.known]
    things = {one.thing for one in own}
    before = [one for one in facts.known.values() if one.state == "reprocessed" and one.thing in things]
    return [*{one.row.error_id: one.row for one in [*own, *before] if one.state != "resolved"}.values()]


def lost_now(items: Iterable[SentItem], facts: Facts, round_id: str) -> list[ErrorRow]:
    """The error rows of these that still say that this round has sent them back: no later one has."""
    known = (facts.known.get(error_id) for item in items for error_id in item.error_ids)
    sent = (one for one in known if one is not None and (one.state, one.round_id) == ("reprocessed", round_id))
    return [*{one.row.error_id: one.row for one in sent}.values()]


def hidden_now(items: Iterable[SentItem], facts: Facts, round_id: str) -> list[ErrorRow]:
    """The rows of these that failed in this round for the cause of before, and do not say so: the clock of who saw them
    fail is behind the clock of who saw them fail before.
    """
    ids = {error_id for item in items for error_id in item.error_ids} & facts.again_ids
    return [row for row in lost_now(items, facts, round_id) if row.error_id in ids]


def without_rows(items: Iterable[SentItem], facts: Facts) -> list[SentItem]:
    """Those of these that have no error row: they are about files of the errors dataset itself."""
    return [item for item in items if item.layer == "load" and facts.known.keys().isdisjoint(item.error_ids)]


def _failed(item: SentItem, facts: Facts) -> bool:
    """In this round, or since: a row that is open again is nobody's to settle."""
    if any(one in facts.again_ids or _is_open(facts.known.get(one)) for one in item.error_ids):
        return True
    if item.row_index is not None:
        assert item.raw_file is not None, "records lie in a raw file"
        assert item.record_index is not None, "records have places"
        return (item.raw_file, (item.row_index, item.record_index)) in facts.again_places
    return item.origin is not None and (item.layer, item.origin) in facts.again_messages


def _is_open(known: Known | None) -> bool:
    return known is not None and known.state == "open"


def _left(item: SentItem, facts: Facts, awaited: Sequence[Awaited]) -> bool:
    own = set(item.error_ids)
    if item.layer == "land":
        left = [facts.left_messages.get((one.batch_id, item.origin or ""), set()) for one in awaited]
    elif item.whole:
        left = [facts.left_rows.get((one.batch_id, item.row_index or 0), set()) for one in awaited]
    elif item.raw_file is None and item.layer == "refine":
        return any(one.batch_id in facts.left_batches for one in awaited)
    else:
        return False
    return any(ids - own for ids in left)
