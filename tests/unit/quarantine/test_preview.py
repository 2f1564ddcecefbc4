"""Previews show what analysts would have seen, and nothing else."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.datasets import Dataset
from service.quarantine.preview import PREVIEW_BYTES_MAX, Preview


def shown(dataset: Dataset, record: str, failed: str | None = None) -> str | None:
    return Preview.of(dataset, failed)(record)


def test_declared_columns_by_their_names_and_nothing_unmapped(loans: Dataset) -> None:
    record = '{"id": "1", "at": "x", "loan": {"amount": 5.70, "secret": 1}, "phone": "+55", "note": {"id": 2}}'
    assert shown(loans, record) == '{"id":"1","at":"x","amount":5.70}'


def test_masked_columns_are_asterisks_also_where_another_column_holds_them(loans: Dataset) -> None:
    record = '{"id":"1","customer":{"document":"123","name":"Ana"}}'
    assert json.loads(shown(loans, record) or "") == {"id": "1", "document": "***", "customer": "***"}


def test_an_object_or_a_list_is_shown_only_where_the_column_takes_one(loans: Dataset) -> None:
    record = '{"id": {"iban": "ES91"}, "at": ["Ana"], "loan": {"amount": 5}}'
    assert json.loads(shown(loans, record) or "") == {"id": "{...}", "at": "[...]", "amount": 5}


def test_a_masked_field_that_is_null_says_so(loans: Dataset) -> None:
    record = '{"customer":{"document":null}}'
    assert json.loads(shown(loans, record) or "") == {"document": None, "customer": "***"}


@pytest.mark.parametrize(
    "record",
    [
        "",
        "not JSON",
        "[1]",
        "5",
        '{"id":',
        '{"a":1}{"id":2}',
        '{"id":NaN}',
        "[" * 100_000,
        '{"id":"\ud800"}',
        "H4sIAAAA",
    ],
)
def test_what_does_not_parse_has_none(loans: Dataset, record: str) -> None:
    assert shown(loans, record) is None


def test_a_record_without_any_declared_field_has_none(loans: Dataset) -> None:
    assert shown(loans, '{"name":"Ana","loan":5}') is None


@pytest.mark.parametrize("holder", ["5", "null", '"{\\"amount\\":1}"', "[1]", "[" * 500 + "]" * 500])
def test_a_holder_that_is_no_object_hides_only_its_own(loans: Dataset, holder: str) -> None:
    assert shown(loans, f'{{"id":"1","loan":{holder}}}') == '{"id":"1"}'


def test_what_is_too_long_is_cut_and_the_failed_field_stays(loans: Dataset) -> None:
    record = json.dumps({"id": "é" * 5_000, "at": "x" * 5_000, "loan": {"amount": "9" * 5_000}}, ensure_ascii=False)
    told = shown(loans, record, "amount") or ""
    assert len(told.encode()) <= PREVIEW_BYTES_MAX
    found = json.loads(told)
    assert next(iter(found)) == "amount"
    assert found["amount"].startswith('"999')
    assert found["id"].endswith("…")


def test_a_value_of_many_levels_is_no_work(loans: Dataset) -> None:
    assert shown(loans, '{"id":%s}' % ("[" * 900 + "]" * 900)) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON, st.text(min_size=1), st.sampled_from([json.dumps, partial(json.dumps, ensure_ascii=False)]))
def test_whatever_a_record_holds_a_masked_text_never_shows(
    loans: Dataset, value: object, other: object, document: str, written: Callable[[object], str]
) -> None:
    canary = f"canary {document}"
    record = {"id": value, "loan": other, "customer": {"document": canary, "also": canary}, "extra": canary}
    told = shown(loans, written(record))
    if told is not None:
        assert "canary" not in told
        assert len(told.encode()) <= PREVIEW_BYTES_MAX
        json.loads(told)


@given(st.text())
def test_no_text_at_all_breaks_it(loans: Dataset, text: str) -> None:
    told = shown(loans, text)
    assert told is None or len(told.encode()) <= PREVIEW_BYTES_MAX
