"""What the warehouse says: the ledger's rows and the table's, by day of arrival. Nothing here changes anything."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from service.core.datasets import Dataset
from service.core.moments import sql_moment, utc
from service.core.ports import Statement, Warehouse
from service.core.zones import batch_of

QUESTIONS = ("booked", "table_rows", "twice", "busiest")
LATELY = timedelta(days=7)
"""How far back the pace of loading is looked for."""


class Rendering(Protocol):
    """The named statements of `sql/statements/upkeep.sql`."""

    def render(self, name: str, /, **places: str) -> Statement:
        """One of them, its places filled with SQL text."""
        ...


@dataclass(frozen=True, slots=True)
class Sql:
    """How SQL is written here: the load layer's skill. `tables` gives the quoted ledger and table of a dataset."""

    statements: Rendering
    literal: Callable[[str | int], str]
    tables: Callable[[Dataset], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Booked:
    """A row of the ledger. Moments are UTC without a zone, as the table has them."""

    uri: str
    row_count: int
    inserted: int
    duplicate: int
    replaced: int
    content_length_bytes: int
    produced_at: datetime | None
    superseded_at: datetime | None

    @property
    def live(self) -> bool:
        """Whether the file's rows count: no replay has put others in their place."""
        return self.superseded_at is None

    @property
    def brought(self) -> int:
        """Rows that it put into the table."""
        return self.inserted + self.replaced


def latest(booked: Iterable[Booked]) -> datetime | None:
    """The last moment at which a word was written that the ledger heeds; UTC."""
    moments = [moment for one in booked for moment in (one.produced_at, one.superseded_at) if moment is not None]
    return utc(max(moments)) if moments else None


@dataclass(frozen=True, slots=True)
class DayBooks:
    """What the warehouse says about the batches of one day: ledger rows by batch, table rows by raw file."""

    booked: Mapping[str, Sequence[Booked]]
    table_rows: Mapping[str, int]
    twice: int


@dataclass(frozen=True, slots=True)
class Pace:
    """The most rows that were loaded within an hour, and within a minute."""

    hour: int
    minute: int

    def minutes(self, rows: int) -> tuple[float, float]:
        """How long so many rows take: as fast as in the best minute, and as slow as in the best hour."""
        return rows / self.minute, 60 * rows / self.hour


@dataclass(frozen=True, slots=True)
class Books:
    """Asks one dataset's ledger and table."""

    dataset: Dataset
    sql: Sql
    warehouse: Warehouse

    async def day(self, day: date, raw_prefix: str) -> DayBooks:
        """Ledger and table of a day, as of one moment: all is read in one transaction."""
        ledger, target = self.sql.tables(self.dataset)
        places = {"target": target, "length": self.sql.literal(len(raw_prefix)), "prefix": self.sql.literal(raw_prefix)}
        async with self.warehouse.transaction() as session:
            booked = await session.fetch(self._booked(day, ledger))
            table = await session.fetch(self.sql.statements.render("table_rows", **places))
            [[twice]] = await session.fetch(self.sql.statements.render("twice", **places))
        return DayBooks(_by_batch(booked), dict(table), int(twice))

    async def booked(self, day: date) -> Mapping[str, Sequence[Booked]]:
        """The ledger's rows of a day alone, by batch."""
        ledger, _ = self.sql.tables(self.dataset)
        async with self.warehouse.transaction() as session:
            return _by_batch(await session.fetch(self._booked(day, ledger)))

    async def replaced(self, since: date, until: date) -> int:
        """How many rows took other rows' places, in files of the batches that arrived in the months of these days.

        A month's ledger rows are in memory at a time.
        """
        ledger, _ = self.sql.tables(self.dataset)
        count, month = 0, since.replace(day=1)
        while month <= until:
            async with self.warehouse.transaction() as session:
                booked = _by_batch(await session.fetch(self._arrived(f"{month:%Y%m}%", ledger)))
            count += sum(one.replaced for ones in booked.values() for one in ones)
            month = (month + timedelta(days=31)).replace(day=1)
        return count

    async def pace(self, now: datetime) -> Pace | None:
        """What was loaded in the best hour and the best minute of the last week; None when nothing was."""
        ledger, _ = self.sql.tables(self.dataset)
        places = {"ledger": ledger, "since": self.sql.literal(sql_moment(now - LATELY))}
        found = []
        async with self.warehouse.transaction() as session:
            for unit in ("hour", "minute"):
                question = self.sql.statements.render("busiest", unit=self.sql.literal(unit), **places)
                [[rows]] = await session.fetch(question)
                found.append(rows)
        return Pace(*map(int, found)) if all(found) else None

    def _booked(self, day: date, ledger: str) -> Statement:
        return self._arrived(f"{day:%Y%m%d}T%", ledger)

    def _arrived(self, moment: str, ledger: str) -> Statement:
        """About files of the batches whose ids are like that."""
        batches, addresses = self.sql.literal(moment), self.sql.literal(f"%/{moment}")
        return self.sql.statements.render("booked", ledger=ledger, batches=batches, addresses=addresses)


def _by_batch(rows: Sequence[tuple[object, ...]]) -> Mapping[str, Sequence[Booked]]:
    found: dict[str, list[Booked]] = {}
    for row in rows:
        booked = Booked(*row)  # type: ignore[arg-type]  # the statement names these columns in this order
        found.setdefault(batch_of(booked.uri), []).append(booked)
    return found
