"""What a live table takes, and what an operator is told when it does not."""

import pytest

from service.load.catalogue import LiveColumn, problems, takes


@pytest.mark.parametrize(
    ("live", "given", "fits"),
    [
        ("varchar(10)", "varchar(10)", True),
        ("varchar(11)", "varchar(10)", True),
        ("varchar(9)", "varchar(10)", False),
        ("bigint", "integer", True),
        ("integer", "bigint", False),
        ("smallint", "smallint", True),
        ("decimal(9,2)", "decimal(9,2)", True),
        ("decimal(10,3)", "decimal(9,2)", True),
        ("decimal(9,3)", "decimal(9,2)", False),
        ("decimal(12,1)", "decimal(9,2)", False),
        ("double precision", "double precision", True),
        ("timestamp", "date", False),
        ("varchar(99)", "integer", False),
        ("super", "super", True),
        ("varbyte", "super", False),
        ("real", "double precision", False),
    ],
)
def test_a_column_takes_its_own_type_and_narrower_ones(live: str, given: str, *, fits: bool) -> None:
    assert takes(live, given) is fits


LIVE = [LiveColumn("id", "varchar(10)", nullable=False), LiveColumn("note", "varchar(5)", nullable=True)]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([("id", "varchar(10)"), ("note", "varchar(5)")], []),
        ([("id", "varchar(10)")], []),
        ([("id", "varchar(10)"), ("more", "date")], ["table lake.t lacks the column more: run acequia migrate"]),
        (
            [("id", "varchar(11)")],
            ["table lake.t, column id: varchar(10) does not take varchar(11): run acequia migrate"],
        ),
        (
            [("note", "varchar(5)")],
            ["table lake.t, column id: NOT NULL, but records may lack it: run acequia migrate"],
        ),
    ],
)
def test_an_operator_is_told_what_to_do(columns: list[tuple[str, str]], told: list[str]) -> None:
    assert problems(columns, LIVE, "lake.t", {"id"}) == told


def test_a_column_that_may_be_null_does_not_go_into_one_that_may_not() -> None:
    told = ["table lake.t, column id: NOT NULL, but records may lack it: run acequia migrate"]
    assert problems([("id", "varchar(10)")], LIVE, "lake.t", ()) == told


def test_a_table_that_is_not_there_is_a_migrations_work() -> None:
    [told] = problems([], None, "lake.t", ())
    assert told.startswith(
        "table lake.t does not exist, or the user has no rights on it: run acequia migrate, or GRANT "
    )
