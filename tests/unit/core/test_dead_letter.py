"""Dead letters: the envelope carries all that is needed to send the original back."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.dead_letter import (
    DeadLetter,
    Letter,
    read_letter,
    read_original,
    record_error_id,
    record_error_ids,
    rejected_message,
)
from service.core.errors import RejectedError
from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import Attribute, Message, Original
from service.refine.open import open_bodies

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LETTER = DeadLetter(
    layer="refine",
    dataset="things",
    code="bad_type",
    sentence="column x: the field holds no integer value",
    column="x",
    failed_at=NOON,
    definition="0123456789ab",
    raw_file="s3://raw/f",
    places=[(0, 1), (2, 0)],
)


def envelope(letter: DeadLetter) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(letter.outgoing().body)
    return read


def test_a_letter_about_records_names_their_places_and_copies_none() -> None:
    assert envelope(LETTER) == {
        "acequia_dead_letter": 1,
        "error_id": LETTER.error_id,
        "layer": "refine",
        "dataset": "things",
        "code": "bad_type",
        "sentence": "column x: the field holds no integer value",
        "column": "x",
        "definition": "0123456789ab",
        "first_failed_at": "2024-03-04T12:00:00+00:00",
        "last_failed_at": "2024-03-04T12:00:00+00:00",
        "attempts": 1,
        "round_id": "",
        "raw_file": "s3://raw/f",
        "places": [[0, 1], [2, 0]],
    }


@pytest.mark.parametrize("body", ['{"a": 1.50}', "not JSON", '"\\ud83d" é 漢 \u2028', "{\n}\r\n", '{"a":"\\u0000"}'])
def test_a_message_that_failed_whole_comes_back_byte_for_byte(message: Callable[..., Message], body: str) -> None:
    attributes = {"a": Attribute("String", "é"), "b": Attribute("Binary.png", b"\x00\xff")}
    letter = rejected_message("land", "", message(body, attributes=attributes), RejectedError("bad_notice", "no"), NOON)
    original = envelope(letter)["original"]
    assert (original["body"], original["message_id"], original["sent_at"]) == (body, "m0", NOON.isoformat())
    assert {name: Attribute.from_json(stored) for name, stored in original["attributes"].items()} == attributes


def test_refine_opens_a_letter_that_somebody_moved_back(message: Callable[..., Message]) -> None:
    letter = rejected_message("land", "", message('{"a": 1.50}'), RejectedError("unknown_dataset", "no"), NOON)
    assert open_bodies([letter.outgoing().body]).records == ['{"a": 1.50}']


@pytest.mark.parametrize(("dataset", "attributes"), [("", {}), ("things", {"dataset": Attribute("String", "things")})])
def test_the_dataset_travels_as_an_attribute_where_there_is_one(dataset: str, attributes: dict[str, Attribute]) -> None:
    assert replace(LETTER, dataset=dataset).outgoing().attributes == attributes


def test_the_error_id_is_pinned_because_others_deduplicate_on_it(message: Callable[..., Message]) -> None:
    assert LETTER.error_id == "c898179358873295a93521c8cb1fb28a"
    letter = rejected_message("land", "", message(), RejectedError("unknown_dataset", "no"), NOON)
    assert letter.error_id == "b7381b3451f9f849f9dcb9d7edb76327"


@pytest.mark.parametrize(
    "again",
    [
        {"failed_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"attempts": 9},
        {"sentence": "other words"},
        {"definition": ""},
        {"round_id": "r1"},
    ],
)
def test_the_same_failure_of_the_same_thing_keeps_its_error_id(again: dict[str, Any]) -> None:
    assert replace(LETTER, **again).error_id == LETTER.error_id


@pytest.mark.parametrize(
    "other",
    [
        {"layer": "land"},
        {"raw_file": "s3://raw/g"},
        {"places": [(0, 2)]},
        {"code": "too_long"},
        {"column": None},
    ],
)
def test_another_failure_has_another_error_id(other: dict[str, Any]) -> None:
    assert replace(LETTER, **other).error_id != LETTER.error_id


def test_two_messages_with_the_same_fault_have_two_error_ids(message: Callable[..., Message]) -> None:
    wrong = RejectedError("bad_notice", "no")
    ids = {rejected_message("load", "", message(message_id=name), wrong, NOON).error_id for name in ("m1", "m2")}
    assert len(ids) == 2


@pytest.mark.parametrize("layer", ["land", "refine", "load"])
def test_a_message_that_was_sent_back_and_fails_again_is_the_same_failure(
    message: Callable[..., Message], layer: str
) -> None:
    wrong = RejectedError("unknown_dataset", "no")
    first = rejected_message(layer, "", message(message_id="m0", receive_count=7), wrong, NOON)
    assert (first.attempts, first.round_id) == (1, ""), "a receive is no try"
    mark = Mark(first.error_id, "m0", first.attempts, "r1", NOON)
    marked = message(message_id="m9", attributes={MARK_ATTRIBUTE: mark.attribute()})
    second = rejected_message(layer, "", marked, wrong, NOON + DAY)
    assert (second.error_id, second.attempts, second.round_id) == (first.error_id, 2, "r1")
    told = envelope(second)
    assert told["original"]["message_id"] == "m9"
    assert (told["first_failed_at"], told["last_failed_at"]) == (NOON.isoformat(), (NOON + DAY).isoformat())


@pytest.mark.parametrize("told", [None, NOON + timedelta(days=2)], ids=["an older mark", "a mark of the future"])
def test_nothing_failed_first_later_than_now(message: Callable[..., Message], told: datetime | None) -> None:
    marked = message(attributes={MARK_ATTRIBUTE: Mark("e", "m0", 1, "r1", told).attribute()})
    letter = rejected_message("land", "", marked, RejectedError("unknown_dataset", "no"), NOON)
    assert envelope(letter)["first_failed_at"] == NOON.isoformat()


@pytest.mark.parametrize("column", [None, "x"])
def test_a_record_has_the_id_that_a_letter_about_it_alone_has(column: str | None) -> None:
    layer, source, code = "refine", "s3://raw/é", "bad_type"
    places = [(0, 0), (17, 3), (2_000_000, 9_999)]
    ids = [record_error_id(layer, source, place, code, column) for place in places]
    letters = [replace(LETTER, raw_file=source, column=column, places=[place, (5, 5)]) for place in places]
    assert ids == [letter.error_id for letter in letters]
    assert record_error_ids(layer, source, places, code, column) == ids
    assert record_error_id(layer, source, None, code, column) not in ids


def test_a_letter_about_records_is_read_as_it_was_written() -> None:
    assert read_letter(replace(LETTER, attempts=2, round_id="r1").outgoing().body) == Letter(
        error_id=LETTER.error_id,
        layer="refine",
        dataset="things",
        code="bad_type",
        sentence="column x: the field holds no integer value",
        column="x",
        definition="0123456789ab",
        first_failed_at=NOON,
        last_failed_at=NOON,
        attempts=2,
        round_id="r1",
        raw_file="s3://raw/f",
        places=[(0, 1), (2, 0)],
        original=None,
        original_uri=None,
    )


def test_a_letter_about_a_message_is_read_with_its_original_or_where_it_lies(message: Callable[..., Message]) -> None:
    failed = message("é\ud800", attributes={"b": Attribute("Binary", b"\x00\xff")})
    letter = rejected_message("land", "", failed, RejectedError("unknown_dataset", "no"), NOON)
    inside, outside = read_letter(letter.outgoing().body), read_letter(letter.outgoing(pointer="s3://errors/o").body)
    assert inside is not None
    assert (inside.original, inside.original_uri, inside.raw_file) == (Original.of(failed), None, None)
    assert outside == replace(inside, original=None, original_uri="s3://errors/o")


def test_a_letter_of_an_older_version_has_no_round() -> None:
    older = envelope(LETTER)
    del older["round_id"]
    read = read_letter(json.dumps(older))
    assert read is not None
    assert read.round_id == ""


Change = dict[str, Any]
MARKER_ALONE = '"acequia_dead_letter"'


@pytest.mark.parametrize(
    "body",
    ["", "{}", MARKER_ALONE, f"[{MARKER_ALONE}]", f"{{{MARKER_ALONE}:1}}", f"{{{MARKER_ALONE}", MARKER_ALONE * 99,
     "[" * 100_000 + MARKER_ALONE, '{"acequia_dead_letter":' + "1" * 5_000 + "}"],
)  # fmt: skip
def test_what_is_no_letter_is_none(body: str) -> None:
    assert read_letter(body) is None


@pytest.mark.parametrize(
    "change",
    [
        {"acequia_dead_letter": 2},
        {"acequia_dead_letter": True},
        {"acequia_dead_letter": 1.0},
        {"code": "bad_luck"},
        {"code": ["bad_type"]},
        {"error_id": 5},
        {"dataset": None},
        {"sentence": None},
        {"column": 5},
        {"layer": "\ud800"},
        {"dataset": "\ud800"},
        {"definition": None},
        {"first_failed_at": "2024-03-04T12:00:00"},
        {"last_failed_at": 5},
        {"attempts": "1"},
        {"attempts": True},
        {"attempts": -1},
        {"attempts": 2**31},
        {"round_id": None},
        {"raw_file": None},
        {"raw_file": ["f"]},
        {"places": None},
        {"places": [[1]]},
        {"places": [[1, -1]]},
        {"places": [[1, 2.0]]},
        {"places": [["1", "2"]]},
        {"places": ["12"]},
        {"places": {"ab": 1}},
        {"original": 5},
        {"original": "uri"},
        {"original": {}},
        {"original": {"uri": 5}},
        {"original": {"message_id": "m", "sent_at": "2024-03-04T12:00:00+00:00", "attributes": [], "body": "b"}},
        {"original": {"message_id": "m", "sent_at": "2024-03-04T12:00:00", "attributes": {}, "body": "b"}},
        {"original": {"message_id": "m", "sent_at": 5, "attributes": {}, "body": "b"}},
        {"original": {"message_id": 5, "sent_at": "2024-03-04T12:00:00+00:00", "attributes": {}, "body": "b"}},
        {"original": {"message_id": "m", "sent_at": "2024-03-04T12:00:00+00:00", "attributes": {}, "body": None}},
    ],
)
def test_a_letter_that_we_would_not_have_written_is_none(change: Change) -> None:
    assert read_letter(json.dumps(envelope(LETTER) | change)) is None


@pytest.mark.parametrize("missing", [name for name in envelope(LETTER) if name != "round_id"])
def test_a_letter_without_one_of_its_fields_is_none(missing: str) -> None:
    given = envelope(LETTER)
    del given[missing]
    assert read_letter(json.dumps(given)) is None


@pytest.mark.parametrize(
    "attribute",
    [None, 5, [], "value", {}, {"type": "String"}, {"value": "v"}, {"type": 5, "value": "v"},
     {"type": "String", "value": 5}, {"type": "Binary", "base64": "é"}, {"type": "Binary", "base64": "A"},
     {"type": "Binary", "base64": "AA==!"}, {"type": "Binary", "base64": None}],
)  # fmt: skip
def test_an_attribute_that_no_message_has_makes_it_no_letter(message: Callable[..., Message], attribute: Any) -> None:
    given = envelope(rejected_message("land", "", message(), RejectedError("bad_notice", "no"), NOON))
    assert read_letter(json.dumps(given)) is not None
    given["original"]["attributes"] = {"a": attribute}
    assert read_letter(json.dumps(given)) is None


@pytest.mark.parametrize("stored", [b"", b"\xff", b"null", b"[]", b"{}", b'"text"'])
def test_an_object_that_is_no_original_is_refused(stored: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_original(stored)
