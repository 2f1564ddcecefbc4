"""Opening never raises, and accounts for every record."""

import base64
import gzip
import json
import re
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.refine.numbers import INTEGER_DIGITS_MAX, SUSPECT, changes
from service.refine.open import open_bodies
from service.refine.scan import depth, elements

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSONISH = st.text('{}[]",:\\n1e-.tru u0d8\n\r\ufeffH4sI', max_size=40)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUES, max_size=3), min_size=1, max_size=5)
DIGITS = st.text("0123456789", min_size=1, max_size=42)
INTEGERS = st.from_regex(r"-?(0|[1-9]\d{0,42})", fullmatch=True, alphabet="-0123456789")
FRACTIONS = st.just("") | DIGITS.map(lambda digits: f".{digits}")
EXPONENTS = st.just("") | st.from_regex(r"[eE][+-]?\d{1,3}", fullmatch=True, alphabet="eE+-0123456789")
NUMBERS = st.builds("{}{}{}".format, INTEGERS, FRACTIONS, EXPONENTS)
HOSTILE_TEXT = st.text('[]{}",:\\e1\n', max_size=8)
HOSTILE = st.recursive(
    HOSTILE_TEXT | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(HOSTILE_TEXT, inner), max_leaves=12
)


def plain(records: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(record, ensure_ascii=False) for record in records]


@given(st.lists(TEXT | JSONISH, max_size=5))
def test_any_text_is_accounted_for(bodies: list[str]) -> None:
    opened = open_bodies(bodies)
    places = [*zip(opened.rows, opened.indexes, strict=True), *((row, index) for row, index, _ in opened.wrong)]
    assert len(places) == len(set(places))
    assert {row for row, _ in places} | {row for row, body in enumerate(bodies) if body.strip() == "[]"} >= {
        row for row, body in enumerate(bodies) if not body.strip(" \t\r\n[]")
    }
    for record in opened.records:
        assert isinstance(json.loads(record), dict)


@given(RECORDS, st.sampled_from(["lines", "array", "gzip", "gzip array"]))
def test_every_form_opens_into_the_same_records(records: list[dict[str, Any]], form: str) -> None:
    texts = plain(records)
    body = f"[{','.join(texts)}]" if "array" in form else "\n".join(texts)
    if "gzip" in form:
        body = base64.b64encode(gzip.compress(body.encode())).decode()
    opened = open_bodies([body, texts[0]])
    assert opened.records == [*texts, texts[0]]
    assert opened.rows == [0] * len(texts) + [1]
    assert opened.indexes == [*range(len(texts)), 0]


@given(RECORDS, st.lists(JSONISH, max_size=4), st.randoms())
def test_bad_messages_among_good_ones_cost_only_themselves(
    records: list[dict[str, Any]], bad: list[str], random: Any
) -> None:
    texts = plain(records)
    mixed = [*texts, *bad]
    random.shuffle(mixed)
    opened = open_bodies(mixed)
    good_rows = {row: text for row, text in enumerate(mixed) if text in texts}
    found = {row: text for row, text in zip(opened.rows, opened.records, strict=True) if row in good_rows}
    assert found == good_rows


def levels(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(levels, value.values()), default=0)
        case list():
            return 1 + max(map(levels, value), default=0)
        case _:
            return 0


def survives(number: str) -> bool:
    """Whether it is exactly what a reader makes of it that keeps long integers, and else knows doubles only."""
    if number.lstrip("-").isdigit():
        return len(number.lstrip("-")) <= INTEGER_DIGITS_MAX
    double = float(number)
    return abs(double) != float("inf") and Decimal(repr(double)) == Decimal(number)


@given(HOSTILE, st.booleans())
def test_depth_is_the_number_of_levels_whatever_strings_hold(value: object, ascii_only: bool) -> None:  # noqa: FBT001
    assert depth(json.dumps(value, ensure_ascii=ascii_only).encode()) == levels(value)


@given(st.lists(HOSTILE, min_size=1), st.text("[]{},", max_size=5))
def test_elements_are_those_of_the_array_and_no_fewer_before_something_invalid(values: list[Any], tail: str) -> None:
    array = json.dumps(values)
    assert elements(array.encode()) == len(values)
    assert elements(f"{array[:-1]}{tail}".encode()) >= len(values)


@given(HOSTILE, st.lists(NUMBERS, min_size=1, max_size=4))
def test_a_record_changes_where_one_of_its_numbers_does(value: object, numbers: list[str]) -> None:
    record = f'{{"a":[{",".join(numbers)}],"b":{json.dumps(value)},"c":[true,{numbers[0]},false]}}'
    assert changes(record) == (not all(map(survives, numbers)))
    assert not changes(record) or re.search(SUSPECT, record)


@given(st.builds("{}{}e{}{}".format, INTEGERS, FRACTIONS, st.sampled_from(["", "+", "-"]), DIGITS))
def test_no_number_is_too_much_for_the_judge_of_numbers(number: str) -> None:
    changes(f'{{"a":{number}}}')
