"""Batches and attributes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from service.core.model import Attribute, Batch, Held, Message, Original, Outgoing

SEALED = datetime(2024, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)


def batch_id(message: Callable[..., Message], ids: Sequence[str], sealed_at: datetime = SEALED) -> str:
    held = [Held(message(message_id=one), None) for one in ids]
    return Batch("things", held, "age", sealed_at, 0).batch_id


def test_a_batch_id_starts_with_the_time_of_sealing(message: Callable[..., Message]) -> None:
    assert batch_id(message, ["m1"]).startswith("20240304T050607089Z-")


def test_a_retry_has_the_same_id_and_other_messages_another(message: Callable[..., Message]) -> None:
    assert batch_id(message, ["m1", "m2"]) == batch_id(message, ["m1", "m2"])
    assert batch_id(message, ["m1", "m2"]) != batch_id(message, ["m1", "m3"])


@pytest.mark.parametrize(("attribute", "text"), [("dataset", "things"), ("picture", None), ("none", None)])
def test_only_a_text_attribute_has_text(message: Callable[..., Message], attribute: str, text: str | None) -> None:
    given = {"dataset": Attribute("String", "things"), "picture": Attribute("Binary", b"things")}
    assert message(attributes=given).text(attribute) == text


def test_a_message_weighs_what_sqs_counts() -> None:
    attributes = {"é": Attribute("String", "漢"), "b": Attribute("Binary", b"\x00\xff")}
    assert Outgoing("aé", attributes).size_bytes == 3 + (2 + 6 + 3) + (1 + 6 + 2)


def test_an_original_is_what_stays_of_a_message(message: Callable[..., Message]) -> None:
    given = {"b": Attribute("Binary", b"\x00\xff"), "s": Attribute("String.x", "\ud800")}
    original = Original.of(message("{}", "m7", given))
    assert (original.message_id, original.body, original.attributes) == ("m7", "{}", given)
    assert Original.from_json(original.as_json()) == original
