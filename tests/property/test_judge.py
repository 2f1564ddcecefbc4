"""Refine against a plain reading in Python: every record is refined with exactly those values, or rejected."""

import json
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.definitions import load_dataset
from service.core.model import Message
from service.land.encode import encode
from service.refine.compile import Program, compile_dataset
from service.refine.execute import Keys, judge

ARRIVAL = datetime(2024, 3, 4, 12, tzinfo=UTC)
KINDS = {
    "small": "smallint", "whole": "integer", "big": "bigint", "part": "double", "flag": "boolean", "day": "date",
    "moment": "timestamp", "money": "decimal(7,2)", "text": "varchar(6)", "deep": "integer",
}  # fmt: skip
BITS = {"smallint": 15, "integer": 31, "bigint": 63}
REJECTED = object()

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-40_000, 40_000).map(str),
    st.decimals(-100_000, 100_000, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)
MOMENTS = st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)).map(datetime.isoformat)  # noqa: DTZ001
ZONES = st.sampled_from(["Z", "+00:00", "-03:30", "+0545", "+02", ""])
STRINGS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    NUMBERS,
    st.dates().map(date.isoformat),
    st.builds(lambda moment, zone: moment + zone, MOMENTS, ZONES),
    st.from_regex(r"20[0-9]{2}-[0-1][0-9]-[0-3][0-9]", fullmatch=True),
)
FRAGMENTS = st.one_of(
    NUMBERS, STRINGS.map(json.dumps), st.sampled_from(["true", "false", "null", "[]", "{}", '[1,"a"]', '{"deep":1}'])
)
FIELDS = st.dictionaries(st.sampled_from([*KINDS, "Small", "other", "p"]), FRAGMENTS, max_size=5)


def number(value: object) -> Decimal | None:
    return value if isinstance(value, Decimal) else None


def read_number(kind: str, text: object) -> object:
    value = number(text)
    if kind.startswith("decimal") and isinstance(text, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        value = Decimal(text)
    if value is None:
        return REJECTED
    if kind in BITS:
        fits = value == value.to_integral_value() and -(2 ** BITS[kind]) <= value < 2 ** BITS[kind]
        return int(value) if fits else REJECTED
    if kind == "double":
        return float(value) if Decimal(float(value)) == value or repr_is(value) else REJECTED
    exact = value == value.quantize(Decimal("0.01")) if abs(value) < Decimal(10) ** 20 else False
    return value if exact and abs(value) < Decimal(100_000) else REJECTED


def repr_is(value: Decimal) -> bool:
    """Whether a number that is no integer is what its double says."""
    return value != value.to_integral_value() and Decimal(repr(float(value))) == value


def read_time(kind: str, value: object) -> object:
    shape = r"\d{4}-\d\d-\d\d" if kind == "date" else r"\d{4}-.*(Z|[+-]\d\d(:?\d\d)?)"
    if not isinstance(value, str) or not re.fullmatch(shape, value, re.ASCII):
        return REJECTED
    try:
        if kind == "date":
            return date.fromisoformat(value)
        moment = datetime.fromisoformat(value)
    except ValueError:
        return REJECTED
    return moment.astimezone(UTC).replace(tzinfo=None)


def read(kind: str, value: object) -> object:
    """The value that the column must hold, None, or REJECTED."""
    if value is None:
        return None
    if kind == "boolean":
        return value if isinstance(value, bool) else REJECTED
    if kind in ("date", "timestamp"):
        return read_time(kind, value)
    if kind.startswith("varchar"):
        fits = isinstance(value, str) and "\0" not in value and len(value.encode()) <= 6
        return value if fits else REJECTED
    return read_number(kind, value)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    columns = "".join(
        f'[[column]]\nname = "{name}"\ntype = "{kind}"\n' + ('path = "p.deep"\n' if name == "deep" else "")
        for name, kind in KINDS.items()
    )
    head = 'identity = "message"\nevent_time = "at"\nrest = "rest"\n'
    at = '[[column]]\nname = "at"\ntype = "timestamp"\nrequired = true\n'
    path: Path = tmp_path_factory.mktemp("definitions") / "things.toml"
    path.write_text(head + at + columns, encoding="utf-8")
    return compile_dataset(load_dataset(path))


def remaining(record: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in record.items() if name not in {*KINDS, "at"} or name == "deep"}
    if isinstance(rest.get("p"), dict):
        rest["p"] = {name: value for name, value in rest["p"].items() if name != "deep"}
        if not rest["p"]:
            del rest["p"]
    return rest


def expected(record: dict[str, Any], name: str) -> object:
    if name != "deep":
        return read(KINDS[name], record.get(name))
    parent = record.get("p")
    return read("integer", parent.get("deep")) if isinstance(parent, dict) else None


def same(stored: object, wanted: object) -> bool:
    if isinstance(stored, float) and isinstance(wanted, float):
        return stored == wanted and math.isfinite(stored)
    return stored == wanted and (stored is None) == (wanted is None)


def exactly(text: str) -> dict[str, Any]:
    """JSON with every number as the decimal that is written."""
    found: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return found


def check_row(row: dict[str, Any], text: str) -> None:
    record = exactly(text)
    for name in KINDS:
        wanted = expected(record, name)
        assert wanted is not REJECTED, f"{name} was taken from {text} as {row[name]!r}"
        assert same(row[name], wanted), f"{name} of {text} is {row[name]!r}"
    assert exactly(row["rest"] or "{}") == remaining(record), text


@settings(max_examples=40)
@given(batch=st.lists(FIELDS, min_size=1, max_size=25))
def test_a_record_is_refined_exactly_or_rejected(program: Program, batch: list[dict[str, str]]) -> None:
    texts = [
        "{" + ",".join(['"at":"2024-03-04T00:00:00Z"', *(f'"{name}":{value}' for name, value in fields.items())]) + "}"
        for fields in batch
    ]
    messages = [Message(f"m{n}", text, {}, ARRIVAL, ARRIVAL, 1, "") for n, text in enumerate(texts)]
    judged = judge(encode(messages, "q"), "s3://raw/f", program, Keys(b"i" * 32, b"m" * 32), 2**28)
    rejected = {row for rejection in judged.rejections for row, _ in rejection.places}
    assert judged.records == len(texts) == judged.good.num_rows + len(rejected)
    kept = [text for row, text in enumerate(texts) if row not in rejected]
    for row, text in zip(judged.good.to_pylist(), kept, strict=True):
        check_row(row, text)
    for row in rejected:
        assert must_fail(exactly(texts[row])), f"{texts[row]} was rejected"


def must_fail(record: dict[str, Any]) -> bool:
    """Whether a plain reading finds a reason: a column that does not fit, a NUL, or a number that a double changes."""
    return (
        any(expected(record, name) is REJECTED for name in KINDS)
        or "\\u0000" in json.dumps(record, default=str)
        or any(changes(value) for value in flat(record))
    )


def flat(value: object) -> list[Decimal]:
    if isinstance(value, dict):
        return [found for inner in value.values() for found in flat(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in flat(inner)]
    return [value] if isinstance(value, Decimal) else []


def changes(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    if exponent == 0:
        return len(value.as_tuple().digits) > 38
    return not math.isfinite(float(value)) or Decimal(repr(float(value))) != value


LIMIT = 1_024


def of_bytes(letter: str, size: int) -> str:
    """Text whose JSON, without its quotes, has so many bytes."""
    width = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    return letter * (size // width) + "a" * (size % width)


LONG_TEXTS = st.one_of(
    st.builds(
        of_bytes,
        st.sampled_from(["a", "é", "€", "😀", '"', "\\", "\n", "\x01"]),
        st.sampled_from([LIMIT - around for around in (9, 8, 7, 3, 2, 1)]) | st.integers(0, LIMIT * 2),
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400),
)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Program:
    path: Path = tmp_path_factory.mktemp("definitions") / "documents.toml"
    head = 'identity = "message"\nevent_time = "at"\nrest = "rest"\n'
    at = '[[column]]\nname = "at"\ntype = "timestamp"\nrequired = true\n'
    path.write_text(head + at + '[[column]]\nname = "doc"\ntype = "super"\n', encoding="utf-8")
    return compile_dataset(load_dataset(path), super_bytes_max=LIMIT)


@given(texts=st.lists(LONG_TEXTS, min_size=1, max_size=10), field=st.sampled_from(["doc", "k"]))
def test_json_passes_whole_up_to_its_limit_in_bytes(limited: Program, texts: list[str], field: str) -> None:
    records = [json.dumps({"at": "2024-03-04T00:00:00Z", field: text}, ensure_ascii=False) for text in texts]
    messages = [Message(f"m{n}", record, {}, ARRIVAL, ARRIVAL, 1, "") for n, record in enumerate(records)]
    judged = judge(encode(messages, "q"), "s3://raw/f", limited, Keys(b"i" * 32, b"m" * 32), 2**28)
    column = "doc" if field == "doc" else "rest"
    values = [text if field == "doc" else {field: text} for text in texts]
    sizes = [len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) for value in values]
    stored = judged.good.column(column).to_pylist()
    assert [len(text.encode()) for text in stored] == [size for size in sizes if size <= LIMIT]
    assert list(map(json.loads, stored)) == [v for v, size in zip(values, sizes, strict=True) if size <= LIMIT]
    rejected = {(r.fault.code, r.fault.column, tuple(row for row, _ in r.places)) for r in judged.rejections}
    over = tuple(row for row, size in enumerate(sizes) if size > LIMIT)
    assert rejected == ({("too_long", column, over)} if over else set())
