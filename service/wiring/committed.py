"""What of the things that were sent back is in the warehouse, all of it: asked of the ledgers, and of the lake.

Refine stores all files of a raw file before it announces the first of them, and load commits them one by one, maybe in
several transactions. So as soon as one of them is in the ledger, the lake names them all. One that somebody removes
before that is not missed here: load rejects its notice, and that is a failure of its own.

A look costs one statement for `BATCHES_AT_A_TIME` landed batches, and where something new has begun to be loaded one
pass over the names of its dataset's refined files.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.zones import batch_of, refined_place
from service.load.statements import Statements, listed, literal
from service.load.tables import ledger
from service.quarantine.reprocess.fates import SKEW
from service.quarantine.reprocess.rounds import Awaited
from service.wiring.parts import Parts

BATCHES_AT_A_TIME = 500
NAMES_MAX = 100_000
"""Names of refined files that are remembered between two looks; then all are forgotten, and read again when needed."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A row of a ledger, as the statement `committed` gives it. Moments are UTC without a zone."""

    uri: str
    batch_id: str
    loaded_at: datetime
    produced_at: datetime | None
    superseded_at: datetime | None


Lake = Mapping[str, Collection[str]]
"""By landed batch: the refined files that lie in the lake."""


class Books:
    """The ledger's rows about some landed batches; `since` is when the round began that asks, by its own clock: what is
    older by no more than clocks differ may have been loaded after that.
    """

    def __init__(self, rows: Iterable[Booked], since: datetime) -> None:
        self._since = since - SKEW
        self._rows: dict[str, list[Booked]] = {}
        for row in rows:
            self._rows.setdefault(row.batch_id, []).append(row)
        self._uris = {row.uri for some in self._rows.values() for row in some}

    def begun(self, one: Awaited) -> bool:
        """Whether only the lake can tell if all of it is there: the first of its files is loaded."""
        return not one.uris and not self._replayed(one) and bool(self._first(one))

    def there(self, one: Awaited, lake: Lake) -> bool:
        """Whether all of it is in the ledger.

        A notice about records is settled also where a replay of their whole raw file was asked for later: that one has
        judged them again, and the notice brings nothing any more. Of a whole batch every file counts that lies in the
        lake, also one that was never announced, because nobody can tell it from one that is on its way.
        """
        if one.uris:
            return self._uris.issuperset(one.uris)
        if self._replayed(one):
            return True
        first, files = self._first(one), lake.get(one.batch_id, ())
        if one.moment is None:
            return bool(first) and self._uris.issuperset(files)
        return any(self._uris.issuperset(uri for uri in files if _name(uri) == name) for name in first)

    def names(self, batch_id: str) -> frozenset[str]:
        """Under which names files of a batch are in the ledger: a raw file's files of one refining share theirs."""
        return frozenset(_name(row.uri) for row in self._rows.get(batch_id, ()))

    def _first(self, one: Awaited) -> set[str]:
        """Names of files that are loaded and belong to it."""
        rows = self._rows.get(one.batch_id, ())
        if one.moment is None:
            return {_name(row.uri) for row in rows if row.loaded_at.replace(tzinfo=UTC) >= self._since}
        return {_name(row.uri) for row in rows if row.produced_at == one.moment}

    def _replayed(self, one: Awaited) -> bool:
        moments = (row.superseded_at for row in self._rows.get(one.batch_id, ()))
        return one.moment is not None and any(at is not None and at > one.moment for at in moments)


class Committed:
    """Answers the resolver. Files of the errors dataset are asked for by their addresses alone."""

    def __init__(self, parts: Parts, statements: Statements) -> None:
        self._parts = parts
        self._statements = statements
        self._refined = parts.zone("refined")
        self._names: dict[tuple[str, str, frozenset[str]], list[str]] = {}
        """The files of a dataset's batch in the lake, as long as no file of another name of the batch is loaded."""

    async def __call__(self, asked: Sequence[Awaited], since: datetime) -> set[Awaited]:
        found: set[Awaited] = set()
        for dataset in sorted({one.dataset for one in asked} & {*self._parts.datasets, ERRORS.name}):
            mine = [one for one in asked if one.dataset == dataset]
            books = Books(await self._booked(dataset, sorted({one.batch_id for one in mine})), since)
            lake = await self._lake(dataset, {one.batch_id for one in mine if books.begun(one)}, books)
            found |= {one for one in mine if books.there(one, lake)}
        return found

    async def lying(self, asked: Collection[Awaited]) -> set[Awaited]:
        """Of which of these landed batches any refined file lies in the lake, loaded or not."""
        found: set[Awaited] = set()
        for dataset in sorted({one.dataset for one in asked}):
            mine = [one for one in asked if one.dataset == dataset]
            there = await self._listed(dataset, {one.batch_id for one in mine})
            found |= {one for one in mine if one.batch_id in there}
        return found

    async def _booked(self, dataset: str, batches: Sequence[str]) -> list[Booked]:
        rows = []
        for start in range(0, len(batches), BATCHES_AT_A_TIME):
            some = listed(map(literal, batches[start : start + BATCHES_AT_A_TIME]))
            statement = self._statements.render("committed", ledger=ledger(dataset), batches=some)
            async with self._parts.warehouse.transaction() as session:
                rows += await session.fetch(statement)
        return [Booked(*row) for row in rows]

    async def _lake(self, dataset: str, batches: Collection[str], books: Books) -> Lake:
        """The files of these batches, which were stored before the first of them was loaded."""
        keys = {batch: (dataset, batch, books.names(batch)) for batch in batches}
        missing = {batch for batch, key in keys.items() if key not in self._names}
        if missing:
            fresh = await self._listed(dataset, missing)
            if sum(map(len, self._names.values())) > NAMES_MAX:
                self._names = {key: self._names[key] for key in keys.values() if key in self._names}
            self._names |= {keys[batch]: fresh.get(batch, []) for batch in missing}
        return {batch: self._names[key] for batch, key in keys.items()}

    async def _listed(self, dataset: str, batches: Collection[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        async for page in self._parts.means.store.pages(self._refined.uri(f"{dataset}/")):
            for uri in (one.uri for one in page):
                if (batch := batch_of(uri)) in batches and self._ours(uri):
                    found.setdefault(batch, []).append(uri)
        return found

    def _ours(self, uri: str) -> bool:
        try:
            return bool(refined_place(self._refined, uri))
        except RejectedError:
            return False


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]
