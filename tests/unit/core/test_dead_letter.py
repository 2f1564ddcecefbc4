"""Dead letters: the envelope carries all that is needed to send the original back."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from service.core.dead_letter import DeadLetter, rejected_message
from service.core.errors import RejectedError
from service.core.model import Attribute, Message
from service.refine.open import open_bodies

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
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


def test_the_error_id_is_pinned_because_others_deduplicate_on_it() -> None:
    assert LETTER.error_id == "3899de74d1371e7ac74bffb9396b800f"


@pytest.mark.parametrize(
    "again", [{"failed_at": datetime(2030, 1, 1, tzinfo=UTC)}, {"attempts": 9}, {"sentence": "other words"}]
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
        {"definition": ""},
    ],
)
def test_another_failure_has_another_error_id(other: dict[str, Any]) -> None:
    assert replace(LETTER, **other).error_id != LETTER.error_id


def test_two_messages_with_the_same_fault_have_two_error_ids(message: Callable[..., Message]) -> None:
    wrong = RejectedError("bad_notice", "no")
    ids = {rejected_message("load", "", message(message_id=name), wrong, NOON).error_id for name in ("m1", "m2")}
    assert len(ids) == 2
