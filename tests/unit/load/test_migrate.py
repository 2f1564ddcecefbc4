"""What a migration does about ledgers that an older version made, decided without a warehouse."""

from collections.abc import Mapping, Sequence

import pytest

from service.load.catalogue import LiveColumn
from service.load.migrate import Step, ledger_steps
from service.load.statements import Statements
from service.load.tables import LEDGER_COLUMNS, LEDGER_FIRST, TABLE_STATEMENTS, Ledgers
from service.settings import PROJECT

Columns = Sequence[tuple[str, str]]

VIEW = [("dataset", "varchar(63)"), *LEDGER_COLUMNS]
OLD_VIEW = [("dataset", "varchar(63)"), *LEDGER_FIRST]


@pytest.fixture
def ledgers() -> Ledgers:
    """The DDL of sql/."""
    return Ledgers(Statements.load(PROJECT / "sql" / "schema" / "dataset.sql", expected=TABLE_STATEMENTS))


def test_a_new_warehouse_gets_ledgers_and_then_the_view(ledgers: Ledgers) -> None:
    assert _names(_steps(ledgers, {}, "others", "things")) == [
        ("ledger of others", ["ledger_table"]),
        ("ledger of things", ["ledger_table"]),
        ("view acequia.load_ledger", ["ledger_view"]),
    ]


def test_ledgers_and_a_view_that_are_as_they_should_be_need_nothing(ledgers: Ledgers) -> None:
    assert _steps(ledgers, {"load_ledger_things": LEDGER_COLUMNS, "load_ledger": VIEW}, "things") == []


def test_an_older_ledger_gets_each_column_in_a_statement_of_its_own_and_the_view_is_made_anew(ledgers: Ledgers) -> None:
    steps = _steps(ledgers, {"load_ledger_things": LEDGER_FIRST, "load_ledger": OLD_VIEW}, "things")
    assert _names(steps) == [
        ("column batch_id of the ledger of things", ["column_add"]),
        ("column produced_at of the ledger of things", ["column_add"]),
        ("column superseded_at of the ledger of things", ["column_add"]),
        ("view acequia.load_ledger", ["ledger_view_drop", "ledger_view"]),
    ]
    added = [statement.text for step in steps[:-1] for statement in step.statements]
    assert not any("NOT NULL" in text for text in added)


def test_only_what_a_ledger_lacks_is_added(ledgers: Ledgers) -> None:
    half = {"load_ledger_things": LEDGER_COLUMNS[:-1], "load_ledger": OLD_VIEW}
    assert [title for title, _ in _names(_steps(ledgers, half, "things"))] == [
        "column superseded_at of the ledger of things",
        "view acequia.load_ledger",
    ]


def test_the_ledger_of_a_dataset_that_is_no_longer_defined_keeps_up(ledgers: Ledgers) -> None:
    """The view reads it too, and would fail on a column that it lacks."""
    live = {"load_ledger_gone": LEDGER_FIRST, "load_ledger_things": LEDGER_COLUMNS, "load_ledger": OLD_VIEW}
    steps = _steps(ledgers, live, "things")
    assert [title for title, _ in _names(steps)][:1] == ["column batch_id of the ledger of gone"]
    assert '"load_ledger_gone"\nUNION ALL' in steps[-1].statements[-1].text


def test_a_further_ledger_leaves_the_view_in_place(ledgers: Ledgers) -> None:
    """Replaced, not dropped: its grants stay."""
    live = {"load_ledger_things": LEDGER_COLUMNS, "load_ledger": VIEW}
    assert _names(_steps(ledgers, live, "others", "things")) == [
        ("ledger of others", ["ledger_table"]),
        ("view acequia.load_ledger", ["ledger_view"]),
    ]


def test_a_migration_that_died_before_the_view_makes_it(ledgers: Ledgers) -> None:
    live = {"load_ledger_things": LEDGER_COLUMNS, "load_ledger": OLD_VIEW}
    assert _names(_steps(ledgers, live, "things")) == [
        ("view acequia.load_ledger", ["ledger_view_drop", "ledger_view"])
    ]


def _steps(ledgers: Ledgers, live: Mapping[str, Columns], *datasets: str) -> list[Step]:
    tables = {
        table: [LiveColumn(name, written, nullable=True) for name, written in columns]
        for table, columns in live.items()
    }
    return ledger_steps(ledgers, tables, datasets)


def _names(steps: Sequence[Step]) -> list[tuple[str, list[str]]]:
    return [(step.title, [statement.name for statement in step.statements]) for step in steps]
