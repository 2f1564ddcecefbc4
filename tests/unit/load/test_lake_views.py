"""The DDL for Athena and Spectrum has the columns of the errors dataset, and its views find the latest versions."""

import re
from collections.abc import Mapping
from datetime import datetime

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from service.core.errors_dataset import ERRORS
from service.load.failures import FAILURES_COLUMNS
from service.settings import PROJECT

ENGINES = ("athena", "redshift")
FILES = {"athena": "athena", "redshift": "spectrum"}
PLACES = re.compile(r"\b(?:ERRORS_[A-Z]+|FIRST_DAY)\b")
ALL = "errors_all"


def text(engine: str) -> str:
    return (PROJECT / "sql" / FILES[engine] / "errors.sql").read_text(encoding="utf-8")


def statements(engine: str) -> list[str]:
    """Without remarks, in order."""
    lines = [line for line in text(engine).splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def table(engine: str) -> str:
    [found] = [one for one in statements(engine) if one.startswith("CREATE EXTERNAL TABLE")]
    return found


def view_query(statement: str, engine: str) -> exp.Expr:
    """What a view asks, without the names of schemas."""
    query = statement.partition(" AS\n")[2].removesuffix("WITH NO SCHEMA BINDING")
    parsed = sqlglot.parse_one(query, read=engine)
    for one in parsed.find_all(exp.Table):
        one.set("db", None)
    return parsed


def as_athena(written: str) -> str:
    return {"varchar": "string", "integer": "int"}.get(written.partition("(")[0], written)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_name_to_replace_is_explained_at_the_top(engine: str) -> None:
    explained = set(re.findall(r"^--   (\w+)  ", text(engine), re.MULTILINE))
    assert explained == set(PLACES.findall("\n".join(statements(engine))))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_table_has_the_columns_of_the_files(engine: str) -> None:
    written = dict(re.findall(r"^  `?(\w+)`? ([a-z]+(?:\(\d+\))?),?$", table(engine), re.MULTILINE))
    columns = {name: as_athena(kind) if engine == "athena" else kind for name, kind in ERRORS.stored_columns}
    assert list(written.items()) == list(columns.items())
    assert "LOCATION 's3://ERRORS_ZONE/errors/'" in table(engine)


def test_athena_works_the_days_out_by_itself() -> None:
    properties = dict(re.findall(r"'([a-z.]+)' = '([^']+)'", table("athena")))
    assert properties == {
        "projection.enabled": "true",
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.range": "FIRST_DAY,NOW+1DAYS",
        "projection.dt.interval": "1",
        "projection.dt.interval.unit": "DAYS",
        "storage.location.template": "s3://ERRORS_ZONE/errors/dt=${dt}/",
    }


def error(error_id: str, state: str, minute: int, **more: object) -> dict[str, object]:
    facts: dict[str, object] = {name: None for name, _ in ERRORS.stored_columns}
    moment = datetime(2026, 3, 20, 12, minute)  # noqa: DTZ001 (as files have it)
    return {
        **facts,
        "error_id": error_id,
        "fingerprint": error_id[0],
        "state": state,
        "updated_at": moment,
        "first_failed_at": datetime(2026, 3, 20),  # noqa: DTZ001
        "last_failed_at": moment,
        "attempts": 1,
        "_received_at": moment,
        "_raw_file": f"{error_id}.{minute}",
        **more,
    }


ROWS = [
    error("a1", "open", 0),
    error("a1", "reprocessed", 3),
    error("a1", "open", 1, _raw_file="z"),
    error("a2", "resolved", 2, _raw_file="late"),
    error("a2", "parked", 2, _received_at=datetime(2026, 3, 20), _raw_file="z"),  # noqa: DTZ001
    error("b1", "resolved", 1),
    error("b1", "open", 0, attempts=3, first_failed_at=datetime(2026, 3, 1)),  # noqa: DTZ001
]


def answered(engine: str) -> Mapping[str, list[dict[str, object]]]:
    """What the views say about the rows, by view."""
    connection = duckdb.connect()
    columns = ", ".join(f'"{name}" {kind}' for name, kind in ERRORS.stored_columns)
    connection.execute(f"CREATE TABLE {ALL} ({columns})")
    for row in ROWS:
        connection.execute(f"INSERT INTO {ALL} VALUES ({', '.join('?' * len(row))})", list(row.values()))
    found = {}
    for statement in (one for one in statements(engine) if one.startswith("CREATE OR REPLACE VIEW")):
        name = statement.split()[4].partition(".")[2]
        connection.execute(f"CREATE VIEW {name} AS {view_query(statement, engine).sql('duckdb')}")
        rows = connection.execute(f"SELECT * FROM {name} ORDER BY 1")
        names = [column[0] for column in rows.description or ()]
        found[name] = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_the_views_show_each_error_once_in_its_latest_version(engine: str) -> None:
    found = answered(engine)
    assert [list(row) for row in found["errors"]] == [[name for name, _ in ERRORS.stored_columns]] * 3
    assert [(row["error_id"], row["state"]) for row in found["errors"]] == [
        ("a1", "reprocessed"), ("a2", "parked"), ("b1", "resolved")
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_replay_has_judged_anew_keeps_its_past_in_the_views(engine: str) -> None:
    found = {row["error_id"]: row for row in answered(engine)["errors"]}
    assert [found[name]["attempts"] for name in ("a1", "a2", "b1")] == [1, 1, 3]
    assert found["b1"]["first_failed_at"] == datetime(2026, 3, 1)  # noqa: DTZ001 (as files have it)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_views_show_each_cause_once(engine: str) -> None:
    found = answered(engine)["failures"]
    assert [tuple(row) for row in found] == [FAILURES_COLUMNS] * 2
    counts = ("records", "records_open", "records_reprocessed", "records_resolved", "records_parked", "state")
    assert [tuple(row[name] for name in counts) for row in found] == [
        (2, 0, 1, 0, 1, "parked"),
        (1, 0, 0, 1, 0, "resolved"),
    ]
