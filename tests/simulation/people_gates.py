"""What stands between a command and the stores: a process of its own at the gates, and a warehouse that answers it."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from service.core.ports import Statement
from service.core.zones import batch_of
from service.settings import Settings
from service.upkeep.books import QUESTIONS
from service.wiring.parts import Parts
from tests.fakes.warehouse import FakeSession, FakeWarehouse
from tests.simulation.gates import GateWarehouse
from tests.simulation.people_faults import by_hand
from tests.simulation.process import Process, Special
from tests.simulation.run import Run
from tests.simulation.wired import parts_of

T = TypeVar("T")


class Person(Process):
    """One try of a command. Who is told to stop ends in good order where the command can (`patient`)."""

    patient = False
    token = ""
    """Of the round that the command begins, if it begins one."""
    said = ""
    """The sentence with which it ended, if it failed."""

    async def call(
        self,
        point: str,
        act: Callable[[], Awaitable[T]],
        *,
        dependency: str = "",
        seconds_max: float = 120.0,
        special: Mapping[str, Special[T]] | None = None,
    ) -> T:
        """The same call, counted as done by hand."""
        return await super().call(by_hand(point), act, dependency=dependency, seconds_max=seconds_max, special=special)


def command_parts(run: Run, configured: Settings, person: Person) -> Parts:
    """What `acequia` opens for a command."""
    parts = parts_of(run, configured, person)
    return replace(parts, warehouse=GateWarehouse(Asked(run.world.warehouse), person))


class Asked(FakeWarehouse):
    """The same warehouse, which also answers what replay and reconcile ask of a ledger and its table."""

    def __init__(self, warehouse: FakeWarehouse) -> None:
        self.__dict__ = warehouse.__dict__

    @asynccontextmanager
    async def transaction(self, temporary: set[str] | None = None) -> AsyncIterator[Any]:
        """Questions are answered from what is committed."""
        async with super().transaction(temporary) as session:
            yield _Asking(self, session)

    def answer(self, statement: Statement) -> list[tuple[Any, ...]]:
        """What the statement means."""
        quoted = statement.text.split("'")[1::2]
        match statement.name:
            case "booked":
                dataset = _named(statement.text, "load_ledger_")
                moment = quoted[0].removesuffix("%")
                entries = self.ledger_rows(dataset)
                return [(*e[:1], *e[2:7], *e[10:12]) for e in entries if batch_of(e[0]).startswith(moment)]
            case "table_rows":
                rows = self.rows(_named(statement.text, '"lake"."'))
                return [*Counter(row["_raw_file"] for row in rows if row["_raw_file"].startswith(quoted[0])).items()]
            case "twice":
                rows = self.rows(_named(statement.text, '"lake"."'))
                times = Counter(row["_record_id"] for row in rows)
                mine = {row["_record_id"] for row in rows if row["_raw_file"].startswith(quoted[0])}
                return [(sum(times[one] > 1 for one in mine),)]
            case _:
                return [(self._busiest(statement.text, *quoted),)]

    def _busiest(self, text: str, since: str, unit: str) -> int | None:
        together: Counter[datetime] = Counter()
        for entry in self.ledger_rows(_named(text, "load_ledger_")):
            if entry[8] >= datetime.fromisoformat(since):
                minute = entry[8].replace(second=0, microsecond=0)
                together[minute.replace(minute=0) if unit == "hour" else minute] += entry[2]
        return max(together.values(), default=None)


class _Asking:
    def __init__(self, warehouse: Asked, session: FakeSession) -> None:
        self._warehouse = warehouse
        self._session = session

    async def execute(self, statement: Statement) -> None:
        await self._session.execute(statement)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        if statement.name not in QUESTIONS:
            return await self._session.fetch(statement)
        self._warehouse.journal.before(f"warehouse {statement.name}")
        return self._warehouse.answer(statement)


def _named(text: str, before: str) -> str:
    """The name that stands behind these words."""
    return text.partition(before)[2].partition('"')[0]
