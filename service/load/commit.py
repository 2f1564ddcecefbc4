"""One group of units into one table, in one transaction.

Durable effects, in this order: COPY manifest stored → transaction committed → what a replay superseded is removed from
the lake. Inside the transaction: lock the ledger → read it → COPY to a temporary table → compare the count → drop
duplicates by `_record_id` → delete what gives way → insert → write the ledger.

    dies before COMMIT          nothing happened; a manifest is left that nobody reads again
    COMMIT's answer is lost     the group is tried again, finds its files in the ledger under the lock, and is done
    dies before the removal     the notice comes again, is found settled, and the removal is repeated

An unlocked read of the ledger proves presence, never absence: so it is read under the lock, every time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.core.errors import RejectedError, TransientError
from service.core.ports import Means, Session, Warehouse
from service.load import ledger
from service.load.groups import Group
from service.load.ledger import Entry, Fates, Known, Unit
from service.load.lock import LedgerLock, NotGrantedError
from service.load.places import group_places, versioned
from service.load.stage import Stage
from service.load.statements import Statements, listed, literal

STATEMENTS = (
    "ledger_lock",
    "ledger_known",
    "stage_create",
    "copy",
    "copy_count",
    "stage_span",
    "fresh_create",
    "replayed_delete",
    "older_delete",
    "fresh_insert",
    "fresh_counts",
    "ledger_remove",
    "ledger_add",
    "stage_drop",
    "fresh_drop",
    "lock_holder",
    "load_errors",
)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a transaction did. Files that the ledger knew already count in `known_files` alone."""

    files: int
    known_files: int
    rows: int
    inserted: int
    replaced: int


class Commit:
    """Runs the transaction.

    With `large_strings` a JSON text may be longer than a varchar column, where the cluster has that switched on.
    """

    def __init__(
        self, statements: Statements, *, warehouse: Warehouse, stage: Stage, large_strings: bool, means: Means
    ) -> None:
        self._statements = statements
        self._warehouse = warehouse
        self._stage = stage
        self._large_strings = large_strings
        self._lock = LedgerLock(statements, warehouse, means)
        self._means = means

    async def run(self, group: Group) -> Committed:
        """Load what is not loaded yet. Raises TransientError, SetupError, or RejectedError for the data's sake.

        Cancelled before COMMIT it leaves nothing but the manifest.
        """
        places = self._places(group)
        try:
            async with self._warehouse.transaction() as session:
                await self._lock.take(session, group.dataset, places)
                known = await self._known(session, group.units, places)
                units = [unit for unit in group.units if not ledger.settled(unit, known)]
                _refuse_overtaken(units, known)
                fates = await self._load(session, group, units, places)
                old = await self._write(session, (group, units), fates, known)
        except NotGrantedError as down:
            raise await self._lock.explained(group.dataset, down) from down
        done = [unit for unit in group.units if unit not in units]
        await self._means.store.remove([*ledger.files_of(old), *ledger.in_vain(done, known)])
        return Committed(
            files=len(fates),
            known_files=sum(len(unit.files) for unit in group.units) - len(fates),
            rows=sum(file.rows for unit in units for file in unit.files),
            inserted=sum(fate.inserted for fate in fates.values()),
            replaced=sum(fate.replaced for fate in fates.values()),
        )

    async def settled(self, group: Group) -> list[Unit]:
        """Units that are certainly done. The ledger is not locked for that, so others may be done too.

        Whoever holds the lock makes readers wait as well (AWS: LOCK is ACCESS EXCLUSIVE).
        """
        asked = self._means.clock.monotonic()
        try:
            async with self._warehouse.transaction() as session:
                known = await self._known(session, group.units, self._places(group))
        except TransientError as down:
            if self._lock.waited_long(group.dataset, asked):
                raise await self._lock.explained(group.dataset, down) from down
            raise
        return [unit for unit in group.units if ledger.settled(unit, known)]

    def _places(self, group: Group) -> Mapping[str, str]:
        return group_places(group, large_strings=self._large_strings)

    async def _known(self, session: Session, units: Sequence[Unit], places: Mapping[str, str]) -> Known:
        condition = ledger.where(units)
        rows = await session.fetch(self._statements.render("ledger_known", condition=condition, **places))
        return {row[0]: Entry(*row) for row in rows}

    async def _load(self, session: Session, group: Group, units: Sequence[Unit], places: Mapping[str, str]) -> Fates:
        """Everything between reading the ledger and writing it."""
        files = [file for unit in units for file in unit.files]
        raw_files = [unit.replaces.raw_file for unit in units if unit.replaces is not None]
        fates = await self._stage.fill(session, group, files, raw_files, places) if files else {}
        if raw_files:
            gone = listed(map(literal, raw_files))
            await session.execute(self._statements.render("replayed_delete", raw_files=gone, **places))
        if files and versioned(group):
            await session.execute(self._statements.render("older_delete", **places))
        if files:
            await self._stage.empty(session, places)
        return fates

    async def _write(
        self, session: Session, work: tuple[Group, Sequence[Unit]], fates: Fates, known: Known
    ) -> list[Entry]:
        """Write the ledger; returns the rows of what is superseded now."""
        group, units = work
        now = self._means.clock.now()
        old = ledger.superseding(units, known, now)
        rows = [*ledger.loaded(units, fates, group.group_id, now), *old]
        again = sorted(row.uri for row in rows if row.uri in known)
        places = self._places(group)
        if again:
            uris = listed(map(literal, again))
            await session.execute(self._statements.render("ledger_remove", uris=uris, **places))
        if rows:
            entries = listed(row.values() for row in rows)
            await session.execute(self._statements.render("ledger_add", entries=entries, **places))
        return old


def _refuse_overtaken(units: Sequence[Unit], known: Known) -> None:
    """A replay deletes all rows of its raw file: also those that were sent back since, which it does not give."""
    for unit in units:
        if ledger.overtaken(unit, known):
            sentence = "records of its raw file were sent back after it was asked for: replay the file again"
            raise RejectedError("load_refused", sentence, file=unit.uris[0] if unit.uris else None)
