"""A raw file gives back the very messages."""

import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import Attribute, Message
from service.land.encode import SCHEMA, encode


@pytest.mark.parametrize("body", ["{}", "", "\x00", "é 漢 😀", "a\r\nb", "x" * 100_000])
def test_a_body_is_stored_exactly_as_it_came(message: Callable[..., Message], body: str) -> None:
    table = pq.read_table(pa.BufferReader(encode([message(body), message("second", "m1")], "records")))
    assert table.schema.equals(SCHEMA)
    assert table.column("body").to_pylist() == [body, "second"]
    assert table.column("message_id").to_pylist() == ["m0", "m1"]
    assert table.column("queue").to_pylist() == ["records", "records"]


def test_attributes_come_back_with_their_types(message: Callable[..., Message]) -> None:
    given = {"a": Attribute("String", "é"), "b": Attribute("Binary", b"\xff\x00"), "c": Attribute("Number", "5")}
    table = pq.read_table(pa.BufferReader(encode([message(attributes=given), message()], "records")))
    first, second = table.column("attributes").to_pylist()
    assert {name: Attribute.from_json(stored) for name, stored in json.loads(first).items()} == given
    assert second is None


def test_a_message_that_was_sent_back_stands_there_with_its_first_id(message: Callable[..., Message]) -> None:
    given = {MARK_ATTRIBUTE: Mark("e1", "first", 1, "r1").attribute()}
    forged = {MARK_ATTRIBUTE: Attribute("String", '{"origin":"\\ud800"}')}
    messages = [message(message_id="m1", attributes=given), message(message_id="m2", attributes=forged)]
    table = pq.read_table(pa.BufferReader(encode(messages, "records")))
    assert table.column("message_id").to_pylist() == ["first", "m2"]
    assert json.loads(table.column("attributes")[0].as_py()) == {MARK_ATTRIBUTE: given[MARK_ATTRIBUTE].as_json()}
