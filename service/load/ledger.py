"""The ledger: which refined files are in a dataset's table, and what became of their rows.

A row stays for ever, because a queue may deliver an old notice again: a file that a replay has put others in the place
of keeps its row, with the moment in `superseded_at`. What is true of the table now is in the rows without one.

Files of the raw file that were announced before that moment and come later load nothing. Where a replay found no file
to write that into, a row without a file says it, under the landed batch's own id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.core.moments import naive, sql_moment
from service.core.notice import File, Replaces
from service.core.zones import batch_of
from service.load.statements import listed, literal

NEVER = datetime(1, 1, 1)  # noqa: DTZ001 (tables hold UTC without a zone)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a file's rows."""

    inserted: int
    replaced: int
    duplicate: int


Fates = Mapping[str, Fate]
"""By address."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What loads or fails as one: a file, or all files of a replay with what they replace."""

    files: tuple[File, ...]
    produced_at: datetime
    replaces: Replaces | None = None

    @property
    def key(self) -> object:
        """What makes it the same unit in another notice: a file is one, whoever announced it."""
        if self.replaces is not None:
            return self.uris, self.replaces, self.produced_at
        return self.files[0].uri, self.files[0].etag

    @property
    def batch(self) -> str:
        """The landed batch that all of it stems from."""
        return batch_of(self.replaces.raw_file if self.replaces is not None else self.files[0].uri)

    @property
    def uris(self) -> tuple[str, ...]:
        """The addresses of its files."""
        return tuple(file.uri for file in self.files)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger. Moments are UTC without a zone, as the table has them."""

    uri: str
    etag: str
    row_count: int
    inserted: int
    duplicate: int
    replaced: int
    bytes: int
    group_id: str
    loaded_at: datetime
    batch_id: str | None
    produced_at: datetime | None
    superseded_at: datetime | None

    @property
    def moment(self) -> datetime:
        """When the word was written that made the row what it is: a replay that is older than that changes nothing."""
        return self.superseded_at or self.produced_at or NEVER

    def values(self) -> str:
        """The row as SQL."""
        numbers = (self.row_count, self.inserted, self.duplicate, self.replaced, self.bytes)
        texts = (self.group_id, sql_moment(self.loaded_at), self.batch_id)
        moments = [None if m is None else sql_moment(m) for m in (self.produced_at, self.superseded_at)]
        return f"({listed(map(_value, [self.uri, self.etag, *numbers, *texts, *moments]))})"


Known = Mapping[str, Entry]
"""What the ledger says about the files in question, by address."""


def settled(unit: Unit, known: Known) -> bool:
    """Whether nothing is left to do: the files are in the ledger, or the replay took place, or one written later did.

    True may come from a read without the lock; False only from one under it.
    """
    if _replayed_since(unit, known):
        return True
    if unit.replaces is None:
        return all(uri in known for uri in unit.uris)
    produced_at, theirs = naive(unit.produced_at), _of_batch(unit, known)
    moments = [entry.moment for entry in theirs.values()]
    return bool(theirs) and _named(unit) <= theirs.keys() and min(moments) >= produced_at


def overtaken(unit: Unit, known: Known) -> bool:
    """Whether records of the raw file were sent back after this replay was asked for, and are in the table already."""
    produced_at, theirs = naive(unit.produced_at), _of_batch(unit, known).values()
    return unit.replaces is not None and any(
        entry.superseded_at is None and entry.moment > produced_at and entry.uri not in unit.uris for entry in theirs
    )


def loaded(units: Iterable[Unit], fates: Fates, group_id: str, now: datetime) -> list[Entry]:
    """The rows of the files that these units have brought into the table."""
    return [
        Entry(
            uri=file.uri,
            etag=file.etag,
            row_count=file.rows,
            inserted=fates[file.uri].inserted,
            duplicate=fates[file.uri].duplicate,
            replaced=fates[file.uri].replaced,
            bytes=file.content_length_bytes,
            group_id=group_id,
            loaded_at=naive(now),
            batch_id=batch_of(file.uri),
            produced_at=naive(unit.produced_at),
            superseded_at=None,
        )
        for unit in units
        for file in unit.files
    ]


def superseding(units: Iterable[Unit], known: Known, now: datetime) -> list[Entry]:
    """The rows of everything that these replays put other files in the place of, also of files that never loaded."""
    rows = []
    for unit in units:
        if unit.replaces is None:
            continue
        old, moment = _of_batch(unit, known), naive(unit.produced_at)
        for uri in sorted(({*old, *_named(unit)} - {*unit.uris}) or {unit.batch}):
            unloaded = Entry(uri, "", 0, 0, 0, 0, 0, "", naive(now), batch_of(uri), moment, None)
            rows.append(replace(old.get(uri, unloaded), superseded_at=moment))
    return rows


def in_vain(units: Iterable[Unit], known: Known) -> list[str]:
    """Files of settled units that lie in the lake although their rows are not in the table, or not any more."""
    found = set()
    for unit in units:
        theirs = _of_batch(unit, known)
        live = {uri for uri, entry in theirs.items() if entry.superseded_at is None}
        if unit.replaces is not None:
            found |= {*theirs, *_named(unit)} - live - {unit.batch}
        elif _replayed_since(unit, known):
            found |= {*unit.uris} - live
    return sorted(found)


def files_of(entries: Iterable[Entry]) -> list[str]:
    """The files among these rows."""
    return [entry.uri for entry in entries if entry.uri != entry.batch_id]


def _of_batch(unit: Unit, known: Known) -> Known:
    """The rows about all files that were ever made of the same raw file."""
    return {uri: entry for uri, entry in known.items() if batch_of(uri) == unit.batch}


def _replayed_since(unit: Unit, known: Known) -> bool:
    """Whether a replay of the raw file that was written later than this took place."""
    produced_at = naive(unit.produced_at)
    moments = (entry.superseded_at for entry in _of_batch(unit, known).values())
    return any(moment is not None and moment > produced_at for moment in moments)


def _named(unit: Unit) -> set[str]:
    return {*unit.uris, *(unit.replaces.uris if unit.replaces is not None else ())}


def where(units: Sequence[Unit]) -> str:
    """The condition that finds every row which concerns these units."""
    uris = {uri for unit in units for uri in _named(unit)}
    batches = {unit.batch for unit in units}
    either = [("uri", uris), ("batch_id", batches)]
    return " OR ".join(f"{name} IN ({listed(map(literal, sorted(found)))})" for name, found in either if found)


def _value(value: str | int | None) -> str:
    return "NULL" if value is None else literal(value)
