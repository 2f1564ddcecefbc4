"""The analysts' questions keep to what Redshift and PostgreSQL share, and to the columns that the datasets have."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

DATASETS = ("onboarding_events", "loan_events")
_NOT_IN_BOTH = (
    "FILTER", "LATERAL", "DISTINCT ON", "GENERATE_SERIES", "ARRAY", "UNNEST", "MEDIAN", "DATEDIFF", "DATEADD",
    "PERCENTILE_CONT", "LISTAGG", "STRING_AGG", "NVL", "::", "->",
)  # fmt: skip


def _blocks(repository: Path, dataset: str) -> list[tuple[str, str]]:
    """Each question with its statement."""
    text = (repository / "sql" / "questions" / f"{dataset}.sql").read_text("utf-8")
    parts = text.split("-- question: ")[1:]
    return [(question, statement.strip()) for question, _, statement in (part.partition("\n") for part in parts)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_three_questions_each_with_one_statement_of_ten_rows_at_most(repository: Path, dataset: str) -> None:
    blocks = _blocks(repository, dataset)
    assert len(blocks) == 3
    for question, statement in blocks:
        assert question.endswith("?")
        assert statement.endswith("LIMIT 10;")
        assert statement.count(";") == 1


@pytest.mark.parametrize("dataset", DATASETS)
def test_only_what_both_warehouses_have(repository: Path, dataset: str) -> None:
    for _, statement in _blocks(repository, dataset):
        for word in _NOT_IN_BOTH:
            assert word not in statement.upper()
        for dialect in ("redshift", "postgres"):
            assert isinstance(sqlglot.parse_one(statement, read=dialect), exp.Query)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_column_exists_or_is_named_by_the_statement_itself(
    repository: Path, dataset: str, definition: Callable[[str], dict[str, Any]]
) -> None:
    known = {column["name"] for column in definition(dataset)["column"]} | {"rest"}
    for _, statement in _blocks(repository, dataset):
        tree = sqlglot.parse_one(statement, read="redshift")
        named = {alias.alias for alias in tree.find_all(exp.Alias)}
        assert {column.name for column in tree.find_all(exp.Column)} <= known | named
        tables = {table.sql() for table in tree.find_all(exp.Table) if table.db}
        assert tables == {f"lake.{dataset}"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_one_question_reads_what_has_no_column(repository: Path, dataset: str) -> None:
    reads = [
        re.findall(r"JSON_EXTRACT_PATH_TEXT\(JSON_SERIALIZE\(rest\), '\w+', '\w+'\)", statement)
        for _, statement in _blocks(repository, dataset)
    ]
    assert sum(len(found) for found in reads) == 1
