"""What the ledger's rows and the lake say about what was sent back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.ports import Means, Statement
from service.load.statements import Statements
from service.quarantine.reprocess.fates import SKEW
from service.quarantine.reprocess.rounds import Awaited
from service.settings import PROJECT
from service.wiring.committed import BATCHES_AT_A_TIME, Booked, Books, Committed
from service.wiring.parts import Parts
from service.wiring.reprocess import QUESTIONS
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock, run_virtual
from tests.fakes.world import settings

BATCH = "20260101T000000000Z-0123456789abcdef"
ASKED = datetime(2026, 1, 2, 3, 4, 5, 678_901)  # noqa: DTZ001 (as tables have it)
TICK = timedelta(microseconds=1)
RECORDS = Awaited("d", BATCH, moment=ASKED)
ANY = Awaited("d", BATCH)


def uri(day: int = 1, name: str = "0a" * 6) -> str:
    return f"s3://refined/d/dt=2026-01-{day:02d}/{BATCH}.{name}.parquet"


ONE, TWO = uri(1), uri(2)
OTHER = uri(1, "0b" * 6)
FILES = Awaited("d", BATCH, (ONE, TWO))


def row(uri: str = ONE, *, asked: datetime | None = ASKED, later: datetime | None = None, batch: str = BATCH) -> Booked:
    """Loaded an hour after that was asked for; a replay has taken its place `later`."""
    return Booked(uri, batch, ASKED + timedelta(hours=1), asked, later)


def there(one: Awaited, rows: Sequence[Booked], lake: Sequence[str], since: datetime | None = None) -> bool:
    return Books(rows, since or ASKED.replace(tzinfo=UTC)).there(one, {BATCH: lake})


@pytest.mark.parametrize(
    ("one", "rows", "found"),
    [
        (RECORDS, [row()], True),
        (RECORDS, [row(asked=ASKED + TICK)], False),
        (RECORDS, [row(asked=ASKED - TICK)], False),
        (RECORDS, [row(asked=None)], False),
        (RECORDS, [row(batch="another")], False),
        (RECORDS, [], False),
        (RECORDS, [row(asked=ASKED - TICK, later=ASKED + TICK)], True),
        (RECORDS, [row(asked=ASKED - TICK, later=ASKED)], False),
        (RECORDS, [row(later=ASKED + TICK)], True),
        (RECORDS, [row(batch="another", asked=None, later=ASKED + TICK)], False),
        (FILES, [row(), row(TWO)], True),
        (FILES, [row()], False),
        (ANY, [row(asked=None)], True),
        (ANY, [row(batch="another")], False),
    ],
)
def test_what_was_sent_is_there_when_the_ledger_names_it(one: Awaited, rows: list[Booked], found: bool) -> None:  # noqa: FBT001 (a table's column)
    assert there(one, rows, [ONE]) == found


@pytest.mark.parametrize(
    ("one", "rows", "lake", "found"),
    [
        (RECORDS, [row()], [ONE, TWO], False),
        (RECORDS, [row(), row(TWO)], [ONE, TWO], True),
        (RECORDS, [row()], [ONE, OTHER], True),
        (RECORDS, [row(), row(OTHER)], [ONE, TWO, OTHER], True),
        (ANY, [row()], [ONE, TWO], False),
        (ANY, [row(), row(TWO)], [ONE, TWO], True),
        (ANY, [row()], [ONE, OTHER], False),
        (ANY, [row()], [], True),
    ],
    ids=[
        "records in two files, one loaded",
        "both loaded",
        "beside what was refined otherwise",
        "refined twice, once all of it loaded",
        "a whole batch in two files, one loaded",
        "both of them",
        "a file of it that is not announced, or not yet loaded",
        "removed from the lake since",
    ],
)
def test_all_files_that_lie_in_the_lake_must_be_loaded(
    one: Awaited,
    rows: list[Booked],
    lake: list[str],
    found: bool,  # noqa: FBT001 (a table's column)
) -> None:
    assert there(one, rows, lake) == found


@pytest.mark.parametrize(
    ("one", "rows", "begun"),
    [
        (RECORDS, [row()], True),
        (RECORDS, [row(asked=ASKED - TICK)], False),
        (RECORDS, [row(later=ASKED + TICK)], False),
        (FILES, [row(), row(TWO)], False),
        (ANY, [row()], True),
        (ANY, [], False),
    ],
)
def test_the_lake_is_looked_at_only_for_what_has_begun_to_be_loaded(
    one: Awaited,
    rows: list[Booked],
    begun: bool,  # noqa: FBT001 (a table's column)
) -> None:
    assert Books(rows, ASKED.replace(tzinfo=UTC)).begun(one) == begun


def test_of_a_batch_that_is_told_no_closer_something_must_have_been_loaded_since_as_far_as_clocks_can_tell() -> None:
    since = (ASKED + timedelta(hours=1)).replace(tzinfo=UTC) + SKEW
    assert there(ANY, [row()], [ONE], since)
    assert not there(ANY, [row()], [ONE], since + TICK)


@dataclass
class Ledger:
    """A warehouse that answers one question, and a lake; both count how often they are asked."""

    rows: list[Booked] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = FakeStore(Journal(before=self._before))

    def committed(self) -> Committed:
        means = Means(self.store, InlineThreads(), InlineFanOut(), LoopClock(), lambda _: None)
        parts = Parts(settings(), {"d": None}, {}, self, means)  # type: ignore[dict-item, arg-type]  # names alone count
        sql = PROJECT / "sql" / "statements" / "reprocess.sql"
        return Committed(parts, Statements.load(sql, expected=QUESTIONS))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Ledger"]:
        yield self

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        self.statements.append(statement)
        return [astuple(one) for one in self.rows if f"'{one.batch_id}'" in statement.text]

    def _before(self, effect: str) -> None:
        if effect.startswith("list"):
            self.lists.append(effect)


def test_a_look_costs_a_statement_for_many_batches_and_one_pass_over_the_lake() -> None:
    async def main() -> None:
        here = Ledger()
        batches = [f"20260101T{number:09d}Z-0123456789abcdef" for number in range(BATCHES_AT_A_TIME + 1)]
        asked = [Awaited("d", batch, moment=ASKED) for batch in batches]
        uris = [uri().replace(BATCH, batch) for batch in batches]
        here.store.objects = dict.fromkeys(uris, b"")
        here.rows = [Booked(one, batch, ASKED, ASKED, None) for one, batch in zip(uris, batches, strict=True)]
        assert await here.committed()(asked, ASKED.replace(tzinfo=UTC)) == {*asked}
        assert (len(here.statements), len(here.lists)) == (2, 1)

    run_virtual(main())


def test_the_lake_is_read_again_only_when_something_new_is_loaded() -> None:
    async def main() -> None:
        here, since = Ledger(), ASKED.replace(tzinfo=UTC)
        committed = here.committed()
        here.store.objects = dict.fromkeys([ONE, TWO, f"{ONE}.tmp", uri().replace("/d/", "/other/")], b"")
        assert await committed([RECORDS], since) == set()
        assert here.lists == []
        here.rows = [row()]
        for _ in range(3):
            assert await committed([RECORDS], since) == set()
        assert len(here.lists) == 1
        later = replace(RECORDS, moment=ASKED + TICK)
        here.store.objects[OTHER] = b""
        here.rows = [row(), row(OTHER, asked=ASKED + TICK)]
        assert await committed([RECORDS, later], since) == {later}
        assert len(here.lists) == 2
        here.rows.append(row(TWO))
        assert await committed([RECORDS, later, ANY], since) == {RECORDS, later, ANY}, "what is not ours does not count"
        assert len(here.lists) == 2

    run_virtual(main())


def test_whether_anything_of_a_batch_lies_in_the_lake_is_asked_of_the_lake_alone() -> None:
    async def main() -> None:
        here = Ledger()
        other = "20260101T000000000Z-fedcba9876543210"
        here.store.objects = dict.fromkeys([ONE, f"{uri().replace(BATCH, other)}.tmp"], b"")
        elsewhere = replace(ANY, dataset="e")
        assert await here.committed().lying([ANY, replace(ANY, batch_id=other), elsewhere]) == {ANY}
        assert (len(here.statements), len(here.lists)) == (0, 2)

    run_virtual(main())


def test_files_of_the_errors_dataset_are_asked_for_too() -> None:
    async def main() -> None:
        here = Ledger()
        ours, unknown = replace(FILES, dataset="errors"), replace(FILES, dataset="unknown")
        here.rows = [row(), row(TWO)]
        assert await here.committed()([ours, unknown], ASKED.replace(tzinfo=UTC)) == {ours}

    run_virtual(main())
