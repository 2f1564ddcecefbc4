"""Opening never raises, and accounts for every record."""

import base64
import gzip
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.refine.open import open_bodies

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSONISH = st.text('{}[]",:\\n1e-.tru u0d8\n\r\ufeffH4sI', max_size=40)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUES, max_size=3), min_size=1, max_size=5)
WRAPPERS = ("Type", "detail-type", "acequia_dead_letter")


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
