"""Services that are a little wrong, for tests of the tests: what puts a wrong piece in, and whether that is found."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from service.core.ports import Session, Statement, Warehouse
from service.load.commit import Commit
from tests.simulation.database import one_database
from tests.simulation.faults import Fault
from tests.simulation.plan import Plan
from tests.simulation.run import BrokenError
from tests.simulation.trial import passed

SEEDS = range(1, 600)
Mutant = Callable[[pytest.MonkeyPatch], None]
Rows = list[tuple[Any, ...]]


def breach(
    near: str = "",
    among: Callable[[Plan], bool] = lambda plan: not plan.peopled,
    instead: Sequence[Fault] = (),
    *,
    first: int | None = None,
) -> BrokenError | None:
    """What the checker says first, of the seeds; anything else that is raised is a fault of the test's own.

    The seed `first`, which may be another one, is tried first, then seeds with such a fault, and only those `among`,
    with these faults `instead` of the drawn ones: which only saves time.
    """

    def far(plan: Plan) -> tuple[bool, bool]:
        return plan.seed != first, not any(near in f"{fault.point} {fault.kind}" for fault in plan.faults)

    seeds = {*SEEDS} if first is None else {*SEEDS, first}
    plans = sorted(filter(among, map(Plan.of, sorted(seeds))), key=far)
    with one_database():
        return next(_breaches(plan.but(instead) if instead else plan for plan in plans), None)


def _breaches(plans: Iterable[Plan]) -> Iterator[BrokenError]:
    for plan in plans:
        try:
            passed(plan)
        except BrokenError as wrong:
            yield wrong


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the statements of a load transaction, by their names.

    Those `without` are not run; `late` is run right after another; `text` puts words in the place of others; `answer`
    is given in the place of a statement's rows. Found soonest `near` some kind of fault, and in the seed `first`.
    """

    without: str = ""
    late: tuple[str, str] = ("", "")
    text: tuple[str, str, str] = ("", "", "")
    answer: tuple[str, Any] = ("", None)
    near: str = ""
    first: int | None = None


def change_transactions(patch: pytest.MonkeyPatch, change: Change) -> None:
    """From now on loaders' transactions are changed so."""
    begin = Commit.__init__

    def changed(self: Commit, *given: Any, warehouse: Warehouse, **named: Any) -> None:
        begin(self, *given, warehouse=_Warehouse(warehouse, change), **named)

    patch.setattr(Commit, "__init__", changed)


class _Warehouse:
    def __init__(self, warehouse: Warehouse, change: Change) -> None:
        self._warehouse = warehouse
        self._change = change

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        return self._changed()

    async def run(self, statement: Statement) -> None:
        await self._warehouse.run(statement)

    @asynccontextmanager
    async def _changed(self) -> AsyncIterator[Session]:
        async with self._warehouse.transaction() as session:
            yield _Session(session, self._change)


class _Session:
    def __init__(self, session: Session, change: Change) -> None:
        self._session = session
        self._change = change
        self._waiting: list[Statement] = []

    async def execute(self, statement: Statement) -> None:
        late, _ = self._change.late
        if statement.name == self._change.without:
            return
        if statement.name == late:
            self._waiting.append(statement)
            return
        await self._session.execute(self._reworded(statement))
        await self._after(statement.name)

    async def fetch(self, statement: Statement) -> Rows:
        rows = await self._session.fetch(self._reworded(statement))
        await self._after(statement.name)
        name, answer = self._change.answer
        return [(answer,)] if statement.name == name else rows

    def _reworded(self, statement: Statement) -> Statement:
        name, words, others = self._change.text
        if statement.name != name:
            return statement
        assert words in statement.text, f"{name} does not say {words} any more"
        return replace(statement, text=statement.text.replace(words, others))

    async def _after(self, name: str) -> None:
        if name == self._change.late[1]:
            waiting, self._waiting = self._waiting, []
            for statement in waiting:
                await self._session.execute(statement)
