"""What a migration does about ledgers, tables and views that an older version made, decided without a warehouse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from service.core.datasets import Dataset
from service.core.errors import SetupError
from service.core.errors_dataset import ERRORS
from service.load.catalogue import LiveColumn
from service.load.failures import FAILURES_COLUMNS, Failures
from service.load.migrate import Step, check_diststyle, failures_steps, ledger_steps, table_steps
from service.load.statements import Statements
from service.load.tables import LEDGER_COLUMNS, LEDGER_FIRST, TABLE_STATEMENTS, Ledgers, Tables
from service.settings import PROJECT

Columns = Sequence[tuple[str, str]]
Define = Callable[..., Dataset]
TEMPLATES = Statements.load(PROJECT / "sql" / "schema" / "dataset.sql", expected=TABLE_STATEMENTS)

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


def test_a_column_that_records_may_lack_now_is_refused_with_what_a_person_would_run(define: Define) -> None:
    dataset = define('[[column]]\nname = "note"\ntype = "varchar(5)"\n')
    live = [LiveColumn(name, kind, name != "note") for name, kind in dataset.stored_columns]
    with pytest.raises(SetupError) as raised:
        table_steps(Tables(TEMPLATES, dataset), {dataset.name: live})
    assert str(raised.value) == (
        "lake.things, column note: NOT NULL, but the definition lets records lack it, and Redshift drops no such "
        'constraint. A person would run: ALTER TABLE "lake"."things" ADD COLUMN "note_new" varchar(5); UPDATE '
        '"lake"."things" SET "note_new" = "note"; ALTER TABLE "lake"."things" DROP COLUMN "note"; ALTER TABLE '
        '"lake"."things" RENAME COLUMN "note_new" TO "note";'
    )


@pytest.mark.parametrize(
    ("said", "live", "remedy"),
    [
        ("auto", "AUTO(EVEN)", None),
        ("auto", "EVEN", 'ALTER TABLE "lake"."things" ALTER DISTSTYLE AUTO;'),
        ("even", "EVEN", None),
        ("all", "AUTO(ALL)", 'ALTER TABLE "lake"."things" ALTER DISTSTYLE ALL;'),
        ("id", "KEY(id)", None),
        ("id", "KEY(at)", 'ALTER TABLE "lake"."things" ALTER DISTKEY "id";'),
        ("even", None, None),
    ],
)
def test_another_diststyle_is_refused_with_what_a_person_would_run(
    define: Define, said: str, live: str | None, remedy: str | None
) -> None:
    dataset = define(head=f'diststyle = "{said}"')
    if remedy is None:
        check_diststyle(dataset, live)
        return
    with pytest.raises(SetupError) as raised:
        check_diststyle(dataset, live)
    assert str(raised.value).endswith(f"a person would run: {remedy}")


def test_sentences_name_the_schema_of_the_table(define: Define) -> None:
    elsewhere = replace(define(), schema="acequia")
    with pytest.raises(
        SetupError, match=r'^acequia\.things: .* ALTER TABLE "acequia"\."things" ALTER DISTSTYLE AUTO;$'
    ):
        check_diststyle(elsewhere, "EVEN")
    [made] = table_steps(Tables(TEMPLATES, elsewhere), {})
    assert made.title == "table acequia.things"


def test_an_older_table_of_what_was_rejected_gets_the_new_columns_at_its_end() -> None:
    new = ("state", "updated_at", "round_id")
    old = [LiveColumn(name, kind, name not in ERRORS.never_null) for name, kind in ERRORS.stored_columns]
    steps = table_steps(Tables(TEMPLATES, ERRORS), {"errors": [column for column in old if column.name not in new]})
    assert [step.statements[0].text for step in steps] == [
        'ALTER TABLE "acequia"."errors" ADD COLUMN "state" varchar(16) ENCODE zstd',
        'ALTER TABLE "acequia"."errors" ADD COLUMN "updated_at" timestamp ENCODE az64',
        'ALTER TABLE "acequia"."errors" ADD COLUMN "round_id" varchar(64) ENCODE zstd',
    ]


NOTED = TEMPLATES.render("migration_forget", name="'acequia.failures'")
SHOULD = Failures(TEMPLATES, None, None).checksum
RIGHT = [LiveColumn(name, "bigint", nullable=True) for name in FAILURES_COLUMNS]
WIDENED = Step("column code of acequia.errors: varchar(3) to varchar(32)", [], alone=True)


@pytest.mark.parametrize(
    ("live", "recorded", "statements"),
    [
        (None, None, ["failures_view", "migration_forget"]),
        (None, SHOULD, ["failures_view", "migration_forget"]),
        (RIGHT, SHOULD, []),
        (RIGHT, "of another text", ["failures_view", "migration_forget"]),
        (RIGHT, None, ["failures_view", "migration_forget"]),
        (RIGHT[1:], "of another text", ["failures_view_drop", "failures_view", "migration_forget"]),
    ],
)
def test_the_view_over_the_rejected_is_made_where_it_is_not_there_or_differs(
    live: list[LiveColumn] | None, recorded: str | None, statements: list[str]
) -> None:
    """One of the same columns is replaced, not dropped: its grants stay."""
    before, after = failures_steps(Failures(TEMPLATES, live, recorded), [], [NOTED])
    assert before == []
    assert _names(after) == ([("view acequia.failures", statements)] if statements else [])


@pytest.mark.parametrize("recorded", [SHOULD, "of another text"])
def test_the_view_makes_way_for_a_column_to_be_widened(recorded: str) -> None:
    before, after = failures_steps(Failures(TEMPLATES, RIGHT, recorded), [WIDENED], [NOTED])
    assert _names(before) == [("view acequia.failures, out of the way", ["failures_view_drop"])]
    assert _names(after) == [("view acequia.failures", ["failures_view", "migration_forget"])]
    before, after = failures_steps(Failures(TEMPLATES, None, recorded), [WIDENED], [NOTED])
    assert (before, _names(after)) == ([], [("view acequia.failures", ["failures_view", "migration_forget"])])
