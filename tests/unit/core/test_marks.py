"""Marks: read as they were written, and anything else is no mark."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from service.core.marks import MARK_ATTRIBUTE, LandedMarks, Mark, origin_of
from service.core.model import Attribute, Message, Original

MARK = Mark(error_id="0f2cf4b5a1c94d0e8d8b8f6f3c1b7a52", origin="2f0e-m0", attempt=2, round_id="20240304T120000Z-ab")
FIRST = datetime(2024, 3, 4, 12, 0, 0, 5, UTC)
KNOWN = replace(MARK, first_failed_at=FIRST)
Make = Callable[..., Message]


def given(value: str | bytes, kind: str = "String") -> dict[str, Attribute]:
    return {MARK_ATTRIBUTE: Attribute(kind, value)}


def changed(**fields: object) -> str:
    return json.dumps(asdict(MARK) | fields)


@pytest.mark.parametrize("mark", [MARK, KNOWN, replace(MARK, attempt=0, round_id=""), replace(KNOWN, origin="m" * 128)])
def test_a_mark_is_read_as_it_was_written(message: Make, mark: Mark) -> None:
    marked = message(message_id="later", attributes={MARK_ATTRIBUTE: mark.attribute(), "a": Attribute("String", "b")})
    assert Mark.of(marked) == mark
    assert origin_of(marked) == mark.origin
    assert origin_of(Original.of(marked)) == mark.origin


def test_the_attribute_is_compact_and_pinned_because_messages_wait_for_days() -> None:
    assert replace(MARK, error_id="e", origin="o", round_id="r").attribute() == Attribute(
        "String", '{"error_id":"e","origin":"o","attempt":2,"round_id":"r"}'
    )
    assert replace(KNOWN, error_id="e", origin="o", round_id="r").attribute() == Attribute(
        "String",
        '{"error_id":"e","origin":"o","attempt":2,"round_id":"r","first_failed_at":"2024-03-04T12:00:00.000005+00:00"}',
    )


def test_the_first_moment_becomes_utc(message: Make) -> None:
    elsewhere = replace(MARK, first_failed_at=FIRST.astimezone(timezone(timedelta(hours=-3))))
    found = Mark.of(message(attributes={MARK_ATTRIBUTE: elsewhere.attribute()}))
    assert found == KNOWN
    assert found.first_failed_at is not None
    assert found.first_failed_at.tzinfo is UTC


def test_a_message_without_a_mark_is_its_own_origin(message: Make) -> None:
    assert Mark.of(message()) is None
    assert origin_of(message(message_id="m7")) == "m7"


@pytest.mark.parametrize(
    "attributes",
    [
        given(""),
        given("null"),
        given("5"),
        given("[]"),
        given("{}"),
        given("{"),
        given("[" * 1_000),
        given('{"attempt":' + "9" * 900 + "}"),
        given(changed() + " " * 1_024),
        given(changed().encode(), "Binary"),
        given(changed(attempt="2")),
        given(changed(attempt=True)),
        given(changed(attempt=2.0)),
        given(changed(attempt=-1)),
        given(changed(attempt=2**31 - 1)),
        given(changed(attempt=None)),
        given(changed(origin="")),
        given(changed(origin="m" * 129)),
        given(changed(origin="\ud800")),
        given(changed(origin="a\x00b")),
        given(changed(origin="a b")),
        given(changed(origin="a\n")),
        given(changed(origin=5)),
        given(changed(error_id="")),
        given(changed(error_id="e" * 65)),
        given(changed(error_id=["e"])),
        given(changed(round_id="r" * 65)),
        given(changed(round_id=None)),
        given(changed(first_failed_at=5)),
        given(changed(first_failed_at="soon")),
        given(changed(first_failed_at="2024-03-04T12:00:00")),
        given(changed(first_failed_at="1999-12-31T23:59:59Z")),
        given(changed(first_failed_at="0001-01-01T00:00:00+10:00")),
        given(changed(first_failed_at="9999-12-31T23:59:59-10:00")),
    ],
)
def test_what_we_would_not_write_is_no_mark(message: Make, attributes: dict[str, Attribute]) -> None:
    forged = message(message_id="m7", attributes=attributes)
    assert Mark.of(forged) is None
    assert origin_of(forged) == "m7"


def test_a_field_that_is_missing_makes_it_none(message: Make) -> None:
    for name in ("error_id", "origin", "attempt", "round_id"):
        fields: dict[str, Any] = asdict(MARK)
        del fields[name]
        assert Mark.of(message(attributes=given(json.dumps(fields)))) is None


def test_a_mark_of_an_older_version_has_no_first_moment(message: Make) -> None:
    older = {name: value for name, value in asdict(MARK).items() if name != "first_failed_at"}
    assert Mark.of(message(attributes=given(json.dumps(older)))) == MARK


def test_marks_of_a_landed_batch_are_read_as_they_were_written() -> None:
    landed = LandedMarks("s3://raw/things/f.parquet", [MARK, replace(KNOWN, origin="m1")])
    assert LandedMarks.from_json(landed.to_json()) == landed
    older = {"error_id": MARK.error_id, "origin": "2f0e-m0", "attempt": 2, "round_id": MARK.round_id}
    newer = {**older, "origin": "m1", "first_failed_at": "2024-03-04T12:00:00.000005+00:00"}
    assert json.loads(landed.to_json()) == {"v": 1, "raw_file": "s3://raw/things/f.parquet", "marks": [older, newer]}


@pytest.mark.parametrize("stored", [b"", b"\xff", b"null", b"[]", b"{}", b'{"v":2,"raw_file":"f","marks":[]}'])
def test_anything_else_is_refused(stored: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        LandedMarks.from_json(stored)
