"""Samples and dataset definition agree: a second, plain reading of the definition gives every sample its fate."""

import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from service.local.samples.onboarding import SPAN_DAYS, Sample

Definition = dict[str, Any]
Load = Callable[[str], Definition]
_ABSENT = object()
_INTEGER_BITS = {"smallint": 15, "integer": 31, "bigint": 63}
_NESTING_MAX = 1_000


def _at(record: object, path: str) -> object:
    for name in path.split("."):
        if not isinstance(record, dict) or name not in record:
            return _ABSENT
        record = record[name]
    return record


def _paths(value: object, prefix: str = "") -> set[str]:
    """Every leaf's dotted path; a list is a leaf."""
    if not isinstance(value, dict):
        return {prefix.removesuffix(".")}
    return {path for name, inner in value.items() for path in _paths(inner, f"{prefix}{name}.")}


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_decimal(value: object, declared: str) -> bool:
    precision, scale = (int(digits) for digits in re.findall(r"\d+", declared))
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return False
    exact = Decimal(value)
    return exact == round(exact, scale) and abs(exact) < 10 ** (precision - scale)


def _fits(value: object, declared: str) -> bool:
    if declared in _INTEGER_BITS:
        return type(value) is int and -(2 ** _INTEGER_BITS[declared]) <= value < 2 ** _INTEGER_BITS[declared]
    if declared.startswith("decimal"):
        return _is_decimal(value, declared)
    return {
        "double": type(value) in (int, float),
        "boolean": isinstance(value, bool),
        "date": _is_date(value),
        "timestamp": _is_moment(value),
        "super": True,
    }.get(declared, isinstance(value, str))


def _column_fault(column: dict[str, Any], record: object) -> str | None:
    value = _at(record, column.get("path", column["name"]))
    if value is _ABSENT or value is None:
        return "missing_required" if column.get("required") else None
    if not _fits(value, column["type"]):
        return "bad_time" if column["type"] in ("date", "timestamp") else "bad_type"
    room = re.fullmatch(r"varchar\((\d+)\)", column["type"])
    cut = column.get("too_long") == "truncate" or "mask" in column
    return "too_long" if room and not cut and len(str(value).encode()) > int(room[1]) else None


def _nesting(text: str) -> int:
    return max(text.count("["), text.count("{"))


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _fault(text: str, definition: Definition, arrival: datetime) -> str | None:
    """What is wrong with a record's text, or None."""
    if _nesting(text) > _NESTING_MAX:
        return "too_deep"
    try:
        record = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return "bad_json"
    faults = [fault for column in definition["column"] if (fault := _column_fault(column, record))]
    if faults:
        return faults[0]
    moment = datetime.fromisoformat(record["occurred_at"])
    latest = arrival + timedelta(days=definition["event_time_future_days_max"])
    return None if definition["event_time_oldest"] <= moment.date() and moment <= latest else "bad_time"


def test_every_sample_has_the_fate_that_the_definition_gives_it(
    samples: list[Sample], definition: Load, start: datetime
) -> None:
    onboarding, arrival = definition("onboarding_events"), start + timedelta(days=SPAN_DAYS)
    wrong = [sample for sample in samples if _fault(sample.text, onboarding, arrival) != sample.code]
    assert wrong == []


def test_every_mapped_path_occurs_and_sometimes_with_a_value(samples: list[Sample], definition: Load) -> None:
    paths = {column.get("path", column["name"]) for column in definition("onboarding_events")["column"]}
    records = [json.loads(sample.text) for sample in samples if sample.fate == "loaded"]
    assert {path for record in records for path in paths if _at(record, path) not in (_ABSENT, None)} == paths


def test_every_kind_of_step_leaves_something_to_rest(samples: list[Sample], definition: Load) -> None:
    mapped = {column.get("path", column["name"]) for column in definition("onboarding_events")["column"]}
    unmapped: dict[str, set[str]] = {}
    for sample in samples:
        if sample.fate == "loaded":
            record = json.loads(sample.text)
            unmapped.setdefault(record["step"], set()).update(_paths(record) - mapped)
    assert len(unmapped) == 9
    assert all(unmapped.values())


def test_nothing_personal_is_left_to_rest(samples: list[Sample], definition: Load) -> None:
    masked = {column["path"] for column in definition("onboarding_events")["column"] if "mask" in column}
    for sample in samples:
        if sample.fate == "loaded" and "customer" in (record := json.loads(sample.text)):
            personal = {
                path
                for path in _paths(record)
                if re.search(r"@|ZZ-0000", str(_at(record, path))) or path.endswith("full_name")
            }
            assert personal == {"customer.full_name", "customer.email", "customer.document_number"} <= masked


def test_some_loaded_text_is_longer_than_a_column_that_truncates(samples: list[Sample], definition: Load) -> None:
    [column] = [column for column in definition("onboarding_events")["column"] if column.get("too_long") == "truncate"]
    texts = (_at(json.loads(sample.text), column["path"]) for sample in samples if sample.fate == "loaded")
    assert any(isinstance(text, str) and len(text.encode()) > 64 for text in texts)
    assert column["type"] == "varchar(64)"


@pytest.mark.parametrize("name", ["onboarding_events", "loan_events"])
def test_definitions_are_complete_and_name_no_reserved_word(name: str, definition: Load) -> None:
    dataset = definition(name)
    names = [column["name"] for column in dataset["column"]]
    assert len(names) == len(set(names))
    assert {*dataset["key"], dataset["event_time"]} <= set(names)
    assert dataset["event_time_oldest"] == date(2011, 1, 1)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", column) for column in names)
    assert not {"user", "timestamp", "offset", "default", "end", "check", "tag", "system", "raw"} & set(names)
